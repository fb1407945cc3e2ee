"""Appendix A.2 where both sources are known, and the exact posterior over a finite set."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_gaussian import generator, plane_toy

from pmrf_blocks.analysis import compare_sources, finite_posterior, perplexity


def uniform(count):
    return torch.full((1, count), 1.0 / count, dtype=torch.float64)


def test_a_curved_perfect_autoencoder_moves_option_1_alone_and_by_the_closed_form():
    """E = sinh, D = asinh: for X given y ~ N(m, s^2), E[sinh X] = exp(s^2 / 2) sinh m."""
    m, s = 0.8, 0.6
    draws = m + s * torch.randn(400_000, 1, generator=generator(), dtype=torch.float64)
    found = compare_sources(draws, uniform(len(draws)), torch.sinh, torch.asinh, batch=100_000)
    moved = math.asinh(math.exp(s**2 / 2) * math.sinh(m)) - m
    assert float(found.mean_of_latents) == pytest.approx(moved**2, rel=0.03)
    assert float(found.latent_of_mean) < 1e-20
    assert float(found.irreducible) == pytest.approx(s**2, rel=0.01)


def test_draws_of_a_known_posterior():
    """Seen through the Gaussian toy: with E the identity both options are the posterior mean itself."""
    toy = plane_toy()
    y = toy.sample(1, generator(1))[1]
    draws = toy.sample_posterior(y.expand(50_000, -1), generator(2))
    found = compare_sources(draws, uniform(len(draws)), lambda x: x, lambda z: z, batch=50_000)
    assert 2 * float(found.irreducible) == pytest.approx(toy.irreducible, rel=0.02)
    assert float(found.mean_of_latents + found.latent_of_mean + found.latent_gap) < 1e-25
    assert float(found.latent_variance) == pytest.approx(float(found.irreducible), rel=1e-9)


@given(seed=st.integers(0, 999))
def test_for_affine_autoencoders_the_options_are_one(seed):
    g = generator(seed)
    matrix = torch.randn(4, 4, generator=g, dtype=torch.float64) + 4 * torch.eye(4, dtype=torch.float64)
    images = torch.randn(6, 4, generator=g, dtype=torch.float64)
    weights = torch.softmax(torch.randn(3, 6, generator=g, dtype=torch.float64), dim=1)
    found = compare_sources(
        images, weights, lambda x: x @ matrix + 1, lambda z: torch.linalg.solve(matrix.T, (z - 1).T).T
    )
    assert float(found.latent_gap.max()) < 1e-20
    assert float(found.mean_of_latents.max()) < 1e-20


def test_where_the_posterior_is_certain_the_options_are_one():
    images = torch.rand(5, 3, 2, 2, generator=generator())
    found = compare_sources(images, torch.eye(5), torch.exp, lambda z: torch.log(z) + 0.1, batch=2)
    assert torch.allclose(found.mean_of_latents, found.latent_of_mean)
    assert found.latent_of_mean.tolist() == pytest.approx([0.01] * 5, rel=1e-4)
    assert float(found.irreducible.max()) == float(found.latent_variance.max()) == 0.0


def test_finite_posterior_is_bayes_rule():
    images = torch.tensor([[0.0], [1.0], [5.0]])
    weights = finite_posterior(images, torch.tensor([[1.0]]), lambda x: 2 * x, sigma=1.5)
    likelihood = [math.exp(-((1.0 - 2 * x) ** 2) / (2 * 1.5**2)) for x in (0.0, 1.0, 5.0)]
    assert weights[0].tolist() == pytest.approx([value / sum(likelihood) for value in likelihood])
    far = finite_posterior(images, torch.tensor([[1e4]]), lambda x: 2 * x, sigma=1e-3)
    assert far[0].tolist() == [0.0, 0.0, 1.0]


def test_its_mean_is_the_best_estimate():
    """No multiple of the posterior mean's deviation has a smaller error over images and noise."""
    g = generator(3)
    images = torch.randn(20, 4, generator=g, dtype=torch.float64)
    numbers = torch.randint(20, (20_000,), generator=g)
    seen = images[numbers, :2] + 0.5 * torch.randn(20_000, 2, generator=g, dtype=torch.float64)
    weights = finite_posterior(images, seen, lambda x: x[:, :2], sigma=0.5)
    mean, x = weights @ images, images[numbers]
    errors = [float((x - (f * mean + (1 - f) * images.mean(0))).square().mean()) for f in (0.9, 1.0, 1.1)]
    assert errors[1] < min(errors[0], errors[2])


def test_perplexity():
    assert perplexity(torch.tensor([[0.25] * 4, [1.0, 0, 0, 0], [0.5, 0.5, 0, 0]])).tolist() == pytest.approx([4, 1, 2])


def test_bad_input_is_refused():
    images = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"weights must be \(B, 3\)"):
        compare_sources(images, torch.ones(1, 2) / 2, lambda x: x, lambda z: z)
    with pytest.raises(ValueError, match="sum to 1"):
        compare_sources(images, torch.ones(1, 3), lambda x: x, lambda z: z)
    with pytest.raises(ValueError, match="not finite"):
        compare_sources(images, torch.ones(1, 3) / 3, lambda x: x, lambda z: z / 0)
    with pytest.raises(ValueError, match="sigma"):
        finite_posterior(images, images, lambda x: x, sigma=0.0)
    with pytest.raises(ValueError, match="as degrade gives"):
        finite_posterior(images, images, lambda x: x[:, :1], sigma=1.0)
