"""Structural similarity, at one scale and at several. Both take one pass where both are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.metrics.checks import check_pair

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al., 2003, table 1
CACHE = 2**18  # elements of one plane group on the CPU: what is blurred together should stay in its cache


class Structural(NamedTuple):
    """SSIM and MS-SSIM of the same pairs, (B,) each.

    Examples:
        >>> x = torch.rand(1, 3, 192, 192)
        >>> both = structural_similarities(x, x)
        >>> isinstance(both, Structural), both.ms_ssim
        (True, tensor([1.]))
    """

    ssim: Tensor
    ms_ssim: Tensor


def ssim(x: Tensor, y: Tensor, *, data_range: float = 1.0, window_size: int = 11, sigma: float = 1.5) -> Tensor:
    """Structural similarity (Wang et al., 2004), (B,): mean over channels and over windows wholly inside.

    Examples:
        >>> images = torch.rand(2, 3, 16, 16)
        >>> ssim(images, images)
        tensor([1., 1.])
    """
    return _scales(x, y, data_range, _window(window_size, sigma), 1)[0][0].mean(1)


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

    Examples:
        >>> images = torch.rand(1, 3, 176, 176)
        >>> ms_ssim(images, images)
        tensor([1.])
    """
    scales = _scales(x, y, data_range, _window(window_size, sigma), len(weights))
    return _combine(scales, weights)


def structural_similarities(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float = 1.0,
    window_size: int = 11,
    sigma: float = 1.5,
    weights: Sequence[float] = MS_SSIM_WEIGHTS,
) -> Structural:
    """What ssim() and ms_ssim() give, (B,) each, in the time of the second: SSIM is the first of its scales (Wang
    et al., 2003 and 2004).

    Examples:
        >>> images = torch.rand(1, 3, 176, 176)
        >>> structural_similarities(images, images).ssim
        tensor([1.])
    """
    scales = _scales(x, y, data_range, _window(window_size, sigma), len(weights))
    return Structural(scales[0][0].mean(1), _combine(scales, weights))


def _combine(scales: list[tuple[Tensor, Tensor]], weights: Sequence[float]) -> Tensor:
    """Product over scales of the contrast-structure factors, at the last one with the luminance; (B,)."""
    total = sum(weights)
    factors = [contrast for _, contrast in scales[:-1]] + [scales[-1][0]]
    powers = [factor.clamp(min=0.0) ** (weight / total) for factor, weight in zip(factors, weights)]
    return torch.stack(powers).prod(0).mean(1)


def _scales(x: Tensor, y: Tensor, data_range: float, window: list[float], scales: int) -> list[tuple[Tensor, Tensor]]:
    """(SSIM, contrast-structure factor), (B, C) each, for every scale."""
    x, y = check_pair(x, y)
    _check_size(x, len(window), scales)
    result = []
    for scale in range(scales):
        if scale:
            pad = [side % 2 for side in x.shape[-2:]]
            x, y = (F.avg_pool2d(image, 2, padding=pad) for image in (x, y))
        a, b = x.flatten(0, 1), y.flatten(0, 1)
        # Planes are independent. On the CPU they are taken as many at a time as its cache holds.
        group = max(1, CACHE // a.shape[1:].numel()) if x.device.type == "cpu" else max(1, len(a))
        parts = [_plane_means(*pair, data_range, window) for pair in zip(a.split(group), b.split(group))]
        full, contrast = (torch.cat(values).view(x.shape[:2]) for values in zip(*parts))
        result.append((full, contrast))
    return result


def _plane_means(x: Tensor, y: Tensor, data_range: float, window: list[float]) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast-structure factor, (P,) each, of planes (P, H, W).

    The variances enter as their sum alone, so that x^2 + y^2 is blurred once: four blurs instead of five.
    """
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = _blur(x, window), _blur(y, window)
    squares, product = _blur(x * x + y * y, window), _blur(x * y, window)
    mean_squares, mean_product = mean_x * mean_x + mean_y * mean_y, mean_x * mean_y
    contrast = (2.0 * (product - mean_product) + c2) / (squares - mean_squares + c2)
    full = contrast * (2.0 * mean_product + c1) / (mean_squares + c1)
    return full.mean((1, 2)), contrast.mean((1, 2))


def _blur(x: Tensor, window: list[float]) -> Tensor:
    return _slide(_slide(x, window, 1), window, 2)


def _slide(x: Tensor, window: list[float], dim: int) -> Tensor:
    """Weighted sum of shifted copies along one axis, where the window is wholly inside.

    A symmetric window of 11 costs 5 sums and 6 multiplications a pixel. PyTorch's convolutions of one channel take
    several times as long on the CPU.
    """
    last = len(window) - 1
    length = x.shape[dim] - last
    half = last // 2
    out = x.narrow(dim, half, length) * window[half]
    for i in range(half):
        out.add_(x.narrow(dim, i, length) + x.narrow(dim, last - i, length), alpha=window[i])
    return out


def _window(size: int, sigma: float) -> list[float]:
    """A normalised Gaussian, symmetric."""
    if size < 1 or size % 2 == 0:
        raise ValueError(f"window_size must be odd and at least 1; got {size}")
    if sigma <= 0:
        raise ValueError(f"sigma must be positive; got {sigma}")
    values = [math.exp(-0.5 * ((i - (size - 1) / 2) / sigma) ** 2) for i in range(size)]
    return [value / math.fsum(values) for value in values]


def _check_size(x: Tensor, window_size: int, scales: int) -> None:
    if scales < 1:
        raise ValueError("weights must hold at least one scale")
    least = (window_size - 1) * 2 ** (scales - 1)
    if min(x.shape[-2:]) <= least:
        raise ValueError(
            f"images of {x.shape[-2]}x{x.shape[-1]} are too small: a window of {window_size} over {scales} scales "
            f"needs more than {least} pixels a side; choose a smaller window_size or fewer weights"
        )
