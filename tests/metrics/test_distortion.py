"""Distortion against pytorch-msssim, torchmetrics and closed forms."""

import kornia
import numpy as np
import pytest
import pytorch_msssim
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from pmrf_blocks.metrics import (
    MS_SSIM_WEIGHTS,
    identity_degrees,
    ind_rmse,
    landmark_distance,
    luma,
    ms_ssim,
    psnr,
    psnr_y,
    ssim,
    structural_similarities,
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
    _, whole = structural_similarity_index_measure(x, y, data_range=1.0, reduction="none", return_full_image=True)
    inside = whole[..., 5:-5, 5:-5]  # it reflects at the border, we take windows wholly inside
    torch.testing.assert_close(ssim(x, y), inside.mean((1, 2, 3)), rtol=1e-6, atol=1e-6)


def test_ssim_is_kornias():
    x, y = pair(2, 3, 40, 33, dtype=torch.float32)
    peer = kornia.metrics.ssim(x, y, 11, max_val=1.0, padding="valid").mean((1, 2, 3))
    torch.testing.assert_close(ssim(x, y), peer, rtol=0, atol=1e-5)


@pytest.mark.parametrize("metric", [psnr, psnr_y, ssim, ms_ssim, ind_rmse])
def test_no_images_have_no_values(metric):
    assert metric(*torch.zeros(2, 0, 3, 176, 180)).shape == (0,)
    for values in structural_similarities(*torch.zeros(2, 0, 3, 176, 180)):
        assert values.shape == (0,)
    assert identity_degrees(*torch.zeros(2, 0, 128)).shape == (0,)
    assert landmark_distance(*torch.zeros(2, 0, 68, 2)).shape == (0,)


@pytest.mark.parametrize("size", [(176, 176), (179, 181)])
def test_ms_ssim_is_pytorch_msssim(size):
    x, y = pair(1, 3, *size, noise=0.2)
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


def test_psnr_y_is_its_closed_form_and_basicsrs_luma():
    x = torch.full((1, 3, 4, 4), 0.5)
    assert float(psnr_y(x, x + 0.1)) == pytest.approx(20.0 + 20.0 * np.log10(255 / 219), abs=1e-4)
    assert float(luma(torch.ones(1, 3, 1, 1))) == pytest.approx(235 / 255)
    assert float(luma(torch.zeros(1, 3, 1, 1))) == pytest.approx(16 / 255)
    with pytest.raises(ValueError, match="luma is defined for RGB"):
        luma(x[:, :1])


def test_psnr_in_float32_keeps_seven_digits():
    x, y = pair(1, 3, 128, 128, noise=0.01)
    assert float(psnr(x.float(), y.float())) == pytest.approx(float(psnr(x, y)), abs=1e-5)


@pytest.mark.parametrize("size", [(176, 190), (512, 520)])  # planes in one group, and one plane a group
def test_one_pass_gives_both(size):
    x, y = pair(1, 3, *size, dtype=torch.float32)
    both = structural_similarities(x, y)
    assert torch.equal(both.ssim, ssim(x, y))
    assert torch.equal(both.ms_ssim, ms_ssim(x, y))


def test_similarity_in_float32_is_that_of_float64():
    x, y = pair(1, 3, 200, 200, noise=0.02)
    bright = 0.9 + 0.1 * x, 0.9 + 0.1 * y  # small variances beside large means
    for ours in (ssim, ms_ssim):
        assert float(ours(bright[0].float(), bright[1].float())) == pytest.approx(float(ours(*bright)), abs=2e-5)


def test_ssim_has_gradients():
    x, y = pair(1, 1, 7, 8)
    assert torch.autograd.gradcheck(lambda a: ssim(a, y, window_size=5), x.requires_grad_())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: psnr(x, x[:, :1]), r"of one shape; got \(2, 3, 16, 16\) and \(2, 1, 16, 16\)"),
        (lambda x: psnr((x * 255).byte(), (x * 255).byte()), "must be floating point"),
        (lambda x: ssim(x, x, window_size=10), "window_size must be odd"),
        (lambda x: ssim(x, x, sigma=0.0), "sigma must be positive"),
        (lambda x: ssim(x[..., :8], x[..., :8]), "too small"),
        (lambda x: ms_ssim(x, x, weights=()), "at least one scale"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.rand(2, 3, 16, 16))
