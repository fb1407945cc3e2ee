"""Distortion: how far an image is from its reference, one number an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.metrics.checks import check_pair

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al., 2003, table 1


def psnr(x: Tensor, y: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio in dB, (B,), over all channels and pixels; infinite for equal images.

    Average it over images; the mean of per-image values is not the value of the mean error.
    """
    x, y = check_pair(x, y)
    error = (x.double() - y.double()).square().flatten(1).mean(1)
    return 10.0 * torch.log10(data_range**2 / error)


def ssim(x: Tensor, y: Tensor, *, data_range: float = 1.0, window_size: int = 11, sigma: float = 1.5) -> Tensor:
    """Structural similarity (Wang et al., 2004), (B,): mean over channels and over windows wholly inside."""
    x, y = check_pair(x, y)
    _check_window(x, window_size, 1)
    return _per_channel(x, y, data_range, _window(x, window_size, sigma))[0].mean(1)


def ms_ssim(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float = 1.0,
    window_size: int = 11,
    sigma: float = 1.5,
    weights: Sequence[float] = MS_SSIM_WEIGHTS,
) -> Tensor:
    """Multi-scale structural similarity (Wang et al., 2003), (B,), one scale for each weight, halved in between.

    Images must hold the window at the last scale: more than (window_size - 1) * 2 ** (scales - 1) pixels a side,
    160 for the published settings. For smaller ones choose a smaller window or the weights of fewer scales
    (MS_SSIM_WEIGHTS[:4], brought to sum 1 here) and say so beside the number: it is another metric.
    """
    x, y = check_pair(x, y)
    _check_window(x, window_size, len(weights))
    window = _window(x, window_size, sigma)
    total = sum(weights)
    result = torch.ones(len(x), x.shape[1], dtype=x.dtype, device=x.device)
    for scale, weight in enumerate(weights):
        if scale:
            pad = [side % 2 for side in x.shape[-2:]]
            x, y = (F.avg_pool2d(image, 2, padding=pad) for image in (x, y))
        full, contrast = _per_channel(x, y, data_range, window)
        factor = full if scale == len(weights) - 1 else contrast
        result = result * factor.clamp(min=0.0) ** (weight / total)
    return result.mean(1)


def ind_rmse(x: Tensor, posterior_mean: Tensor) -> Tensor:
    """Root mean squared error against a posterior-mean estimate, (B,), on the 8-bit scale, images in [0, 1].

    The indicator of distortion where there is no ground truth (Ohayon et al., 2025; figure 5).
    """
    x, posterior_mean = check_pair(x, posterior_mean)
    return 255.0 * (x.double() - posterior_mean.double()).square().flatten(1).mean(1).sqrt()


def _window(x: Tensor, size: int, sigma: float) -> Tensor:
    axis = torch.arange(size, dtype=x.dtype, device=x.device) - (size - 1) / 2
    window = torch.exp(-0.5 * (axis / sigma).square())
    return window / window.sum()


def _blur(x: Tensor, window: Tensor) -> Tensor:
    channels, size = x.shape[1], len(window)
    x = F.conv2d(x, window.view(1, 1, size, 1).expand(channels, 1, size, 1), groups=channels)
    return F.conv2d(x, window.view(1, 1, 1, size).expand(channels, 1, 1, size), groups=channels)


def _per_channel(x: Tensor, y: Tensor, data_range: float, window: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast-structure factor, (B, C) each."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = _blur(x, window), _blur(y, window)
    var_x = _blur(x * x, window) - mean_x * mean_x
    var_y = _blur(y * y, window) - mean_y * mean_y
    covariance = _blur(x * y, window) - mean_x * mean_y
    contrast = (2.0 * covariance + c2) / (var_x + var_y + c2)
    luminance = (2.0 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    return (luminance * contrast).flatten(2).mean(2), contrast.flatten(2).mean(2)


def _check_window(x: Tensor, window_size: int, scales: int) -> None:
    if window_size < 1 or window_size % 2 == 0:
        raise ValueError(f"window_size must be odd and at least 1; got {window_size}")
    if scales < 1:
        raise ValueError("weights must hold at least one scale")
    least = (window_size - 1) * 2 ** (scales - 1)
    if min(x.shape[-2:]) <= least:
        raise ValueError(
            f"images of {x.shape[-2]}x{x.shape[-1]} are too small: a window of {window_size} over {scales} scales "
            f"needs more than {least} pixels a side; choose a smaller window_size or fewer weights"
        )
