"""What baseline JPEG loses, to the bit of libjpeg: colour transform, 4:2:0 chroma, 8x8 DCT, quantisation and back.

Entropy coding loses nothing and is left out. Runs on any device, on whole batches, with a quality for each image.
All arithmetic is of whole numbers that float32 or float64 hold exactly, so results do not depend on the device.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.degradations.checks import check_images, per_image
from pmrf_blocks.degradations.cosine_transform import quantize
from pmrf_blocks.degradations.module import DegradationModule

# ITU-T T.81, annex K.1: the tables that libjpeg scales by quality.
LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
ONE = 65536.0  # libjpeg's constants have 16 bits behind the point
# JFIF's full-range BT.601. Sums with 8-bit pixels have 24 bits, which float32 holds.
TO_LUMA = (19595 / ONE, 38470 / ONE, 7471 / ONE)
TO_BLUE = (-11059 / ONE, -21709 / ONE, 32768 / ONE)
TO_RED = (32768 / ONE, -27439 / ONE, -5329 / ONE)
RED_OF_RED, BLUE_OF_BLUE = 91881 / ONE, 116130 / ONE
GREEN_OF_BLUE, GREEN_OF_RED = -22554 / ONE, -46802 / ONE
HALF, BELOW_HALF = 0.5, 32767 / ONE  # chroma rounds its halves down


class JPEG(DegradationModule):
    """Compress and decompress: (B, 3, H, W) in [0, 1] to the same, on the 8-bit grid, as Pillow and OpenCV do by
    default (libjpeg-turbo, 4:2:0, baseline tables) to the bit.

    Arguments:
        quality: libjpeg's, 1 to 100, one number or a tensor (B,) of one an image; fractions are cut off.

    Pixels are rounded to 8 bits first. The result has no gradient: every step rounds. ValueError for images of another
    shape or dtype and for qualities out of range.

    Examples:
        >>> JPEG(quality=50)(torch.rand(1, 3, 19, 21)).shape
        torch.Size([1, 3, 19, 21])
    """

    def __init__(self, quality: float | Tensor) -> None:
        super().__init__()
        self.quality = quality

    def forward(self, x: Tensor) -> Tensor:
        x = check_images(x)
        return compress(x, per_image("quality", self.quality, x, 1.0, 100.0).floor())


def compress(x: Tensor, quality: Tensor) -> Tensor:
    """JPEG of images (B, 3, H, W) in [0, 1] at whole qualities (B,)."""
    height, width = x.shape[-2:]
    steps = quantization_steps(quality)
    r, g, b = (x * 255.0).round().clamp(0, 255).unbind(1)
    luma = _weigh((r, g, b), TO_LUMA, HALF) - 128.0
    chroma = torch.stack([_weigh((r, g, b), weights, BELOW_HALF) for weights in (TO_BLUE, TO_RED)], 1)
    luma = quantize(F.pad(luma[:, None], (0, -width % 8, 0, -height % 8), mode="replicate"), steps[:, 0])
    luma = luma[:, 0, :height, :width] + 128.0
    blue, red = _double(_quantize_chroma(chroma, steps[:, 1]))[..., :height, :width].unbind(1)
    both = (
        luma + _weigh((red,), (RED_OF_RED,), HALF),
        luma + _weigh((blue, red), (GREEN_OF_BLUE, GREEN_OF_RED), HALF),
        luma + _weigh((blue,), (BLUE_OF_BLUE,), HALF),
    )
    return torch.stack(both, 1).clamp_(0, 255).div_(255.0)


def quantization_steps(quality: Tensor) -> Tensor:
    """Steps of luma and chroma, (B, 2, 8, 8), whole numbers in [1, 255], at whole qualities (B,) in [1, 100]."""
    scale = torch.where(quality < 50, (5000.0 / quality).floor(), 200.0 - 2.0 * quality).view(-1, 1, 1, 1)
    return ((_tables(quality.dtype, quality.device) * scale + 50.0) / 100.0).floor().clamp(1, 255)


def _weigh(planes: tuple[Tensor, ...], weights: tuple[float, ...], bias: float) -> Tensor:
    """floor(sum of weights * planes + bias); sums of products, as reduced precision may enter a matrix product."""
    total = planes[0] * weights[0]
    for plane, weight in zip(planes[1:], weights[1:]):
        total.add_(plane, alpha=weight)
    return total.add_(bias).floor_()


def _quantize_chroma(chroma: Tensor, steps: Tensor) -> Tensor:
    """Chroma (B, 2, H, W) halved, padded to whole blocks and quantised: (B, 2, ceil(H / 2), ceil(W / 2)).

    libjpeg repeats the last column before it halves, and the last row after.
    """
    height, width = chroma.shape[-2:]
    small = _halve(F.pad(chroma, (0, -width % 16, 0, height % 2), mode="replicate"))
    low, narrow = -(-height // 2), -(-width // 2)
    return quantize(F.pad(small, (0, 0, 0, -low % 8), mode="replicate"), steps)[..., :low, :narrow]


def _halve(chroma: Tensor) -> Tensor:
    """Mean of 2x2 samples as libjpeg rounds it: up in odd columns, down in even ones."""
    bias = (1.0 + torch.arange(chroma.shape[-1] // 2, device=chroma.device, dtype=chroma.dtype) % 2) / 4.0
    return F.avg_pool2d(chroma, 2).add_(bias).floor_()


def _double(chroma: Tensor) -> Tensor:
    """Twice the size by libjpeg's triangle filter (its 'fancy upsampling'), which rounds a half down in odd columns;
    planes of one or two columns are repeated instead."""
    size = (2 * chroma.shape[-2], 2 * chroma.shape[-1])
    if chroma.shape[-1] <= 2:
        return F.interpolate(chroma, size, mode="nearest")
    fine = F.interpolate(chroma, size, mode="bilinear", align_corners=False)
    bias = (8.0 - torch.arange(size[1], device=chroma.device, dtype=chroma.dtype) % 2) / 16.0
    return fine.add_(bias).floor_()


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _tables(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor((LUMA_TABLE, CHROMA_TABLE), dtype=dtype, device=device)[None]
