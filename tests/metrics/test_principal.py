"""Principal components of features, against the singular value decomposition, and what they are for."""

import pytest
import torch

from pmrf_blocks.metrics import Moments, frechet_distance, mmd_rbf, principal_components


def features(count, width, generator, shift=0.0):
    """A few strong directions and many weak ones."""
    scales = torch.cat((torch.tensor([5.0, 3.0, 2.0]), torch.full((width - 3,), 0.3)))
    return scales * torch.randn(count, width, generator=generator) + shift


def test_they_are_those_of_the_singular_value_decomposition(generator):
    reference = features(200, 20, generator).double()
    project = principal_components(reference, 3)
    _, _, rows = torch.linalg.svd(reference - reference.mean(0))
    torch.testing.assert_close(
        (project.basis.T @ rows[:3].T).abs(), torch.eye(3, dtype=torch.float64), atol=1e-8, rtol=0
    )
    spread = project(reference).var(0)
    assert bool((spread[:-1] >= spread[1:]).all())


def test_features_and_moments_are_projected_alike(generator):
    reference, other = features(150, 20, generator), features(90, 20, generator, 0.5)
    project = principal_components(Moments.of(reference), 4)
    projected, moments = project(other), project(Moments.of(other))
    torch.testing.assert_close(Moments.of(projected).mean, moments.mean)
    torch.testing.assert_close(Moments.of(projected).covariance, moments.covariance)
    torch.testing.assert_close(
        frechet_distance(project(other), project(reference)),
        frechet_distance(project(Moments.of(other)), project(Moments.of(reference))),
    )


def test_all_components_keep_the_distance(generator):
    reference, other = features(60, 8, generator), features(50, 8, generator, 0.5)
    project = principal_components(reference, 8)
    torch.testing.assert_close(
        frechet_distance(project(other), project(reference)), frechet_distance(other, reference).double()
    )


def test_two_halves_of_one_distribution_are_nearer_through_few(generator):
    """The distance of two samples of one distribution is bias alone: 3 of 400 components have little of it."""
    a, b = features(100, 400, generator), features(100, 400, generator)
    project = principal_components(b, 3)
    whole, few = frechet_distance(a, b), frechet_distance(project(a), project(b))
    assert float(few) < 0.1 * float(whole)
    unbiased = [
        float(mmd_rbf(*torch.randn(2, 40, 3, generator=generator), sigma=2.0, biased=False)) for _ in range(200)
    ]
    mean, spread = torch.tensor(unbiased).mean(), torch.tensor(unbiased).std() / 200**0.5
    assert abs(float(mean)) < 3 * float(spread)  # zero on average, where the biased one is 2 * 1000 / 40 above it


def test_bad_arguments(generator):
    x = features(10, 5, generator)
    with pytest.raises(ValueError, match=r"count must be in 1\.\.5, the features' width; got 6"):
        principal_components(x, 6)
    with pytest.raises(ValueError, match=r"features must be \(N, 5\); got \(10, 4\)"):
        principal_components(x, 2)(x[:, :4])
    with pytest.raises(ValueError, match="at least 2 features"):
        principal_components(x[:1], 2)
