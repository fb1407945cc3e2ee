"""Peak signal-to-noise ratio, on all channels or on luma, and the error against a posterior mean."""

from __future__ import annotations

import torch
from torch import Tensor

from pmrf_blocks.metrics.checks import check_pair, to_double

LUMA = (65.481 / 255.0, 128.553 / 255.0, 24.966 / 255.0)  # ITU-R BT.601, studio swing: Y in [16, 235] of 255
LUMA_OFFSET = 16.0 / 255.0


def psnr(x: Tensor, y: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio in dB, (B,), over all channels and pixels; infinite for equal images.

    10 log10(data_range^2 / MSE) of images (B, C, H, W) in 0..data_range, as scikit-image has it. Average it over
    images; the mean of per-image values is not the value of the mean error. Raises ValueError for two shapes.

    Examples:
        >>> psnr(torch.full((2, 3, 8, 8), 0.6), torch.full((2, 3, 8, 8), 0.5))  # 10 log10(1 / 0.01), one value an image
        tensor([20.0000, 20.0000], dtype=torch.float64)
    """
    x, y = check_pair(x, y)
    return 10.0 * torch.log10(data_range**2 / mean_squared_error(x, y))


def psnr_y(x: Tensor, y: Tensor) -> Tensor:
    """PSNR in dB, (B,), of the luma alone, of RGB images in [0, 1]: 'PSNR on the Y channel' of super-resolution papers.

    Some 1.3 dB above psnr() for grey errors, as studio swing shrinks luma by 219 / 255. Never compare the two.
    Luma by ITU-R BT.601, equation of section 2.5. Raises ValueError for two shapes, or images that are not RGB.

    Examples:
        >>> psnr_y(torch.full((1, 3, 8, 8), 0.6), torch.full((1, 3, 8, 8), 0.5)).shape
        torch.Size([1])
    """
    x, y = check_pair(x, y)
    return 10.0 * torch.log10(1.0 / mean_squared_error(luma(x), luma(y)))


def luma(x: Tensor) -> Tensor:
    """Y of BT.601 at studio swing, (B, 1, H, W) in [16 / 255, 235 / 255], of RGB (B, 3, H, W) in [0, 1]
    (ITU-R BT.601, section 2.5). Raises ValueError for images that are not RGB.

    Examples:
        >>> luma(torch.ones(1, 3, 2, 2)).unique() * 255
        tensor([235.])
    """
    if x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f"luma is defined for RGB images (B, 3, H, W); got {tuple(x.shape)}")
    return torch.einsum("bchw,c->bhw", x, torch.tensor(LUMA, dtype=x.dtype, device=x.device))[:, None] + LUMA_OFFSET


def ind_rmse(x: Tensor, posterior_mean: Tensor) -> Tensor:
    """Root mean squared error against a posterior-mean estimate, (B,), on the 8-bit scale, images in [0, 1].

    The indicator of distortion where there is no ground truth (Ohayon et al., 2025; figure 5).

    Examples:
        >>> ind_rmse(torch.full((1, 3, 8, 8), 0.6), torch.full((1, 3, 8, 8), 0.5)).round(decimals=2)  # of 255
        tensor([25.5000], dtype=torch.float64)
    """
    x, posterior_mean = check_pair(x, posterior_mean)
    return 255.0 * mean_squared_error(x, posterior_mean).sqrt()


def mean_squared_error(x: Tensor, y: Tensor) -> Tensor:
    """(B,) in float64. Differences keep the images' precision, their squares are summed in float64."""
    squares = (x - y).square().flatten(1)
    if squares.device.type == "mps":  # it has no float64
        squares = to_double(squares)
    return squares.mean(1, dtype=torch.float64)
