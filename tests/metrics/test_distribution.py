"""Distances of distributions against scipy, closed forms and double sums."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st

from pmrf_blocks.metrics import Moments, efficientnet_lite0_features, frechet_distance, mmd_rbf
from pmrf_blocks.metrics import mmd as mmd_module


@pytest.mark.parametrize(("samples", "dimensions"), [(60, 8), (12, 30)])
def test_frechet_distance_is_scipys(samples, dimensions, generator):
    a = torch.randn(samples, dimensions, generator=generator, dtype=torch.float64)
    b = 1.5 * torch.randn(samples + 5, dimensions, generator=generator, dtype=torch.float64) + 0.3
    cov_a, cov_b = (np.cov(f.numpy(), rowvar=False) for f in (a, b))
    root = scipy.linalg.sqrtm(cov_a @ cov_b)
    expected = (a.mean(0) - b.mean(0)).square().sum() + np.trace(cov_a + cov_b - 2 * root.real)
    assert float(frechet_distance(a, b)) == pytest.approx(float(expected), rel=1e-5)
    assert float(frechet_distance(Moments.of(a), Moments.of(b))) == pytest.approx(
        float(frechet_distance(a, b)), rel=1e-6
    )
    assert float(frechet_distance(Moments.of(a), b)) == pytest.approx(float(frechet_distance(a, b)), rel=1e-6)
    assert float(frechet_distance(a, a)) == pytest.approx(0.0, abs=1e-9)
    assert float(frechet_distance(a, a + 2.0)) == pytest.approx(4.0 * dimensions)


@pytest.mark.parametrize("biased", [True, False])
def test_mmd_is_its_double_sum(biased, generator):
    a, b = torch.randn(7, 3, generator=generator), 1.0 + torch.randn(9, 3, generator=generator)

    def k(x, y):
        return float(torch.exp(-(x.double() - y.double()).square().sum() / (2 * 1.7**2)))

    def within(f):
        pairs = [k(f[i], f[j]) for i in range(len(f)) for j in range(len(f)) if biased or i != j]
        return sum(pairs) / len(pairs)

    expected = 10 * (within(a) + within(b) - 2 * np.mean([k(x, y) for x in a for y in b]))
    assert float(mmd_rbf(a, b, sigma=1.7, scale=10, biased=biased)) == pytest.approx(expected, rel=1e-6)
    if biased:
        assert float(mmd_rbf(a, a)) == pytest.approx(0.0, abs=1e-9)


def test_features_tell_pictures_apart(generator):
    extractor = efficientnet_lite0_features()
    x = torch.rand(1, 3, 64, 48, generator=generator)
    assert extractor(x).shape == (1, 1280)
    both = extractor(torch.cat((x, torch.zeros_like(x))))
    torch.testing.assert_close(both[:1], extractor(x), rtol=1e-4, atol=1e-4)
    assert float((both[0] - both[1]).norm()) > 1.0


@given(cuts=st.lists(st.integers(0, 20), max_size=4), offset=st.floats(-1e4, 1e4))
def test_moments_come_batch_by_batch(cuts, offset):
    features = offset + torch.randn(20, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    edges = [0, *sorted(cuts), 20]
    moments, other = Moments(), Moments()
    for number, (start, end) in enumerate(pairwise(edges)):
        (moments if number % 2 else other).update(features[start:end])
    moments.merge(other)
    assert moments.count == 20
    torch.testing.assert_close(moments.mean, features.mean(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(moments.covariance, torch.cov(features.T), rtol=1e-9, atol=1e-9)
    again = Moments.from_covariance(moments.count, moments.mean, moments.covariance)
    again.update(features)
    torch.testing.assert_close(again.covariance, torch.cov(torch.cat((features, features)).T), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("biased", [True, False])
def test_mmd_in_blocks_is_mmd_at_once(biased, generator, monkeypatch):
    a, b = torch.randn(11, 5, generator=generator), torch.randn(8, 5, generator=generator) + 0.5
    at_once = mmd_rbf(a, b, sigma=2.0, biased=biased)
    monkeypatch.setattr(mmd_module, "BLOCK", 3)
    torch.testing.assert_close(mmd_rbf(a, b, sigma=2.0, biased=biased), at_once, rtol=1e-12, atol=1e-9)


def test_mmd_of_gaussians_is_its_closed_form(generator):
    """E k(x, y) of N(m, s^2) and N(0, 1) is sigma / sqrt(v) exp(-m^2 / (2 v)) with v = 1 + s^2 + sigma^2."""

    def expected(mean, variance, sigma):
        v = variance + sigma**2
        return sigma / v**0.5 * np.exp(-(mean**2) / (2 * v))

    n, m, s, sigma = 1500, 1.0, 1.5, 2.0
    a = m + s * torch.randn(n, 1, generator=generator, dtype=torch.float64)
    b = torch.randn(n, 1, generator=generator, dtype=torch.float64)
    truth = expected(0, 2 * s**2, sigma) + expected(0, 2, sigma) - 2 * expected(m, 1 + s**2, sigma)
    assert float(mmd_rbf(a, b, sigma=sigma, scale=1.0, biased=False)) == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: frechet_distance(x[:1], x), "at least 2 images a side"),
        (lambda x: frechet_distance(Moments.of(x[:1]), x), "at least 2 images a side"),
        (lambda x: frechet_distance(Moments.of(x[:, :3]), x), "one width; got 3 and 5"),
        (lambda x: frechet_distance(x, x * torch.nan), "4 of the second set's 4 feature rows"),
        (lambda x: Moments.of(x).update(x[:, :3]), "features have 3 dimensions where those before had 5"),
        (lambda x: Moments().covariance, "at least 2 features; got 0"),
        (lambda x: Moments.from_covariance(3, x[0], x), r"mean \(D,\) and covariance \(D, D\)"),
        (lambda x: mmd_rbf(x, x[:, :4]), r"features must be \(M, D\) and \(N, D\)"),
        (lambda x: mmd_rbf(x, x, sigma=0.0), "sigma must be positive"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.rand(4, 5))
