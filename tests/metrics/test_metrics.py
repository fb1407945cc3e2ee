"""Metrics against pytorch-msssim, torchmetrics, scipy and closed forms."""

import numpy as np
import pytest
import pytorch_msssim
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from pmrf_blocks.metrics import (
    MS_SSIM_WEIGHTS,
    efficientnet_lite0_features,
    frechet_distance,
    ind_rmse,
    mmd_rbf,
    ms_ssim,
    psnr,
    ssim,
)


def pair(*shape, noise=0.1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(*shape, generator=generator, dtype=dtype)
    return x, (x + noise * torch.randn(*shape, generator=generator, dtype=dtype)).clamp(0, 1)


def test_psnr_is_torchmetrics_and_its_formula():
    x, y = pair(3, 3, 17, 20)
    for i in range(3):
        peer = peak_signal_noise_ratio(x[i : i + 1], y[i : i + 1], data_range=1.0)
        assert float(psnr(x, y)[i]) == pytest.approx(float(peer), abs=1e-5)
    assert float(psnr(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.1))) == pytest.approx(20.0, abs=1e-5)
    assert torch.isinf(psnr(x, x)).all()


def test_ssim_is_its_peers():
    x, y = pair(2, 3, 40, 33)
    peer = pytorch_msssim.ssim(x, y, data_range=1.0, size_average=False)
    torch.testing.assert_close(ssim(x, y), peer, rtol=1e-6, atol=1e-6)
    other = structural_similarity_index_measure(x, y, data_range=1.0, reduction="none", sigma=1.5, kernel_size=11)
    torch.testing.assert_close(ssim(x, y), other, rtol=0.02, atol=0.02)  # it pads, we take whole windows


@pytest.mark.parametrize("size", [(176, 176), (200, 181)])
def test_ms_ssim_is_pytorch_msssim(size):
    x, y = pair(2, 3, *size, noise=0.2)
    peer = pytorch_msssim.ms_ssim(x, y, data_range=1.0, size_average=False)
    torch.testing.assert_close(ms_ssim(x, y), peer, rtol=1e-4, atol=5e-5)  # its weights are float32


def test_ms_ssim_of_small_images_is_asked_for_by_name():
    x, y = pair(1, 3, 128, 128)
    with pytest.raises(ValueError, match="more than 160 pixels a side; choose a smaller window_size or fewer weights"):
        ms_ssim(x, y)
    assert ms_ssim(x, y, weights=MS_SSIM_WEIGHTS[:4]).shape == (1,)
    x, y = pair(1, 3, 176, 176)  # the peer refuses smaller ones however many scales there are
    four = list(np.array(MS_SSIM_WEIGHTS[:4]) / sum(MS_SSIM_WEIGHTS[:4]))
    peer = pytorch_msssim.ms_ssim(x, y, data_range=1.0, size_average=False, weights=four)
    torch.testing.assert_close(ms_ssim(x, y, weights=MS_SSIM_WEIGHTS[:4]), peer, rtol=1e-4, atol=5e-5)


@given(shift=st.floats(-0.2, 0.2), size=st.integers(11, 30))
def test_similarity_is_symmetric_and_one_for_equals(shift, size):
    x, _ = pair(1, 3, size, size)
    y = (x + shift).clamp(0, 1)
    torch.testing.assert_close(ssim(x, y), ssim(y, x))
    assert float(ssim(x, x)) == pytest.approx(1.0)
    assert float(ssim(x, y)) <= 1.0 + 1e-9


def test_ind_rmse():
    x = torch.zeros(2, 3, 4, 4)
    torch.testing.assert_close(ind_rmse(x, x + 0.1), torch.full((2,), 25.5, dtype=torch.float64))


@pytest.mark.parametrize(("samples", "dimensions"), [(60, 8), (12, 30)])
def test_frechet_distance_is_scipys(samples, dimensions, generator):
    a = torch.randn(samples, dimensions, generator=generator, dtype=torch.float64)
    b = 1.5 * torch.randn(samples + 5, dimensions, generator=generator, dtype=torch.float64) + 0.3
    cov_a, cov_b = (np.cov(f.numpy(), rowvar=False) for f in (a, b))
    root = scipy.linalg.sqrtm(cov_a @ cov_b)
    expected = (a.mean(0) - b.mean(0)).square().sum() + np.trace(cov_a + cov_b - 2 * root.real)
    assert float(frechet_distance(a, b)) == pytest.approx(float(expected), rel=1e-5)
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: psnr(x, x[:, :1]), r"of one shape; got \(2, 3, 16, 16\) and \(2, 1, 16, 16\)"),
        (lambda x: psnr((x * 255).byte(), (x * 255).byte()), "must be floating point"),
        (lambda x: ssim(x, x, window_size=10), "window_size must be odd"),
        (lambda x: ssim(x[..., :8], x[..., :8]), "too small"),
        (lambda x: frechet_distance(x[:1, 0, 0], x[:, 0, 0]), "at least 2 images a side"),
        (lambda x: frechet_distance(x[:, 0, 0], x[:, 0, 0] * torch.nan), "2 of the second set's 2 feature rows"),
        (lambda x: mmd_rbf(x[:, 0, 0], x[:, 0, 0, :5]), r"features must be \(M, D\) and \(N, D\)"),
        (lambda x: mmd_rbf(x[:, 0, 0], x[:, 0, 0], sigma=0.0), "sigma must be positive"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.rand(2, 3, 16, 16))
