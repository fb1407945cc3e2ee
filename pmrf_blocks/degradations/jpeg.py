"""What baseline JPEG loses: colour transform, 4:2:0 chroma, 8x8 DCT and quantisation, as libjpeg computes them.

Entropy coding loses nothing and is left out. Runs on any device, on whole batches, with a quality for each image.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.degradations.checks import check_images, per_image

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
# JFIF: full-range BT.601.
TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
MARGIN = 1e-3
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


class JPEG:
    """Compress and decompress: (B, 3, H, W) in [0, 1] to the same, on the 8-bit grid.

    `quality` is libjpeg's, 1 to 100, one or one an image; fractions are cut off.
    """

    def __init__(self, quality: float | Tensor) -> None:
        self.quality = quality

    def __call__(self, x: Tensor) -> Tensor:
        x = check_images(x)
        return compress(x, per_image("quality", self.quality, x, 1.0, 100.0).floor())


def compress(x: Tensor, quality: Tensor) -> Tensor:
    """JPEG of images (B, 3, H, W) in [0, 1] at whole qualities (B,)."""
    height, width = x.shape[-2:]
    forward, inverse, tables = _constants(x.dtype, x.device)
    scale = torch.where(quality < 50, (5000.0 / quality).floor(), 200.0 - 2.0 * quality).view(-1, 1, 1, 1)
    steps = ((tables * scale + 50.0) / 100.0).floor().clamp(1, 255)  # (B, 2, 8, 8)
    pixels = (x * 255.0).round().clamp(0, 255)
    pixels = F.pad(pixels, (0, -width % 16, 0, -height % 16), mode="replicate")
    ycbcr = torch.einsum("ij,bjhw->bihw", forward, pixels)
    luma = quantize(_round(ycbcr[:, :1]) - 128.0, steps[:, :1])
    chroma = quantize(_halve(_round(ycbcr[:, 1:])), steps[:, 1:])
    # libjpeg interpolates chroma from the samples that belong to the image, not from the padding.
    chroma = chroma[..., : -(-height // 2), : -(-width // 2)]
    chroma = _double(chroma)
    both = torch.cat((luma[..., :height, :width] + 128.0, chroma[..., :height, :width]), 1)
    return _round(torch.einsum("ij,bjhw->bihw", inverse, both)).clamp(0, 255) / 255.0


def quantize(plane: Tensor, steps: Tensor) -> Tensor:
    """8x8 DCT of (B, C, H, W), H and W multiples of 8, rounded to steps (B, 1, 8, 8), and back, to whole numbers."""
    basis = _dct_basis(plane.dtype, plane.device)
    batch, channels, height, width = plane.shape
    blocks = plane.view(batch, channels, height // 8, 8, width // 8, 8)
    coefficients = torch.einsum("ux,bcixjy,vy->bciujv", basis, blocks, basis)
    step = steps[:, :, None, :, None, :]
    # to the nearest step, halves away from zero; the margin stands for what float32 loses of an exact half
    level = (coefficients.abs() / step + (0.5 + MARGIN)).floor()
    coefficients = level * step * coefficients.sign()
    blocks = torch.einsum("ux,bciujv,vy->bcixjy", basis, coefficients, basis)
    return _round(blocks.reshape(plane.shape) + MARGIN).clamp(-128, 127)


def _halve(chroma: Tensor) -> Tensor:
    """Mean of 2x2 samples as libjpeg rounds it: up in odd columns, down in even ones."""
    total = F.avg_pool2d(chroma, 2) * 4.0
    bias = 1.0 + torch.arange(total.shape[-1], device=chroma.device, dtype=chroma.dtype) % 2
    return ((total + bias) / 4.0).floor()


def _double(chroma: Tensor) -> Tensor:
    """Twice the size by libjpeg's triangle filter (its 'fancy upsampling'), which rounds a half down in odd columns."""
    size = (2 * chroma.shape[-2], 2 * chroma.shape[-1])
    fine = F.interpolate(chroma, size, mode="bilinear", align_corners=False)
    bias = (8.0 - torch.arange(size[1], device=chroma.device, dtype=chroma.dtype) % 2) / 16.0
    return (fine + bias).floor()


def _round(x: Tensor) -> Tensor:
    """To the nearest whole number, halves up, as libjpeg's integer arithmetic does."""
    return (x + 0.5).floor()


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _constants(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    tables = torch.tensor((LUMA_TABLE, CHROMA_TABLE), dtype=dtype, device=device)[None]
    return torch.tensor(TO_YCBCR, dtype=dtype, device=device), torch.tensor(TO_RGB, dtype=dtype, device=device), tables


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _dct_basis(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Orthonormal DCT-II, rows are frequencies."""
    rows = [
        [math.sqrt((1 if u == 0 else 2) / 8) * math.cos((2 * x + 1) * u * math.pi / 16) for x in range(8)]
        for u in range(8)
    ]
    return torch.tensor(rows, dtype=dtype, device=device)
