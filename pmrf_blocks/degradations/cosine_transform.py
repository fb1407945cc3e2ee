"""The 8x8 cosine transform of JPEG in whole numbers, as libjpeg computes it by default (its 'islow' method).

libjpeg transforms rows and columns with constants of 13 bits and rounds after each pass. Each pass is one product with
a matrix of whole numbers and one rounding. float64 holds every sum exactly, so that the results are libjpeg's.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

# 2^13 * sqrt(8) * the orthonormal DCT-II, rows are frequencies, as the rounded constants of libjpeg's butterflies add
# up to it: they are off by one in places (2259, 2260 and 2261). Its transpose is the inverse, from the same constants.
DCT = (
    (8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192),
    (11363, 9633, 6437, 2260, -2260, -6437, -9633, -11363),
    (10703, 4433, -4433, -10703, -10703, -4433, 4433, 10703),
    (9633, -2259, -11362, -6436, 6436, 11362, 2259, -9633),
    (8192, -8192, -8192, 8192, 8192, -8192, -8192, 8192),
    (6437, -11362, 2261, 9633, -9633, -2261, 11362, -6437),
    (4433, -10704, 10704, -4433, -4433, 10704, -10704, 4433),
    (2260, -6436, 9633, -11363, 11363, -9633, 6436, -2260),
)
FORWARD_BITS = (11, 15)  # of which rows and columns are relieved: two bits stay between, and eight times the result
INVERSE_BITS = (11, 18)  # columns and rows


def quantize(plane: Tensor, steps: Tensor) -> Tensor:
    """8x8 blocks of (B, C, H, W) rounded to multiples of steps (B, 8, 8) in frequency; whole numbers in [-128, 127].

    H and W are multiples of 8; the values of plane are whole numbers in [-128, 127] too.
    """
    batch, channels, height, width = plane.shape
    device = torch.device("cpu") if plane.device.type == "mps" else plane.device  # MPS has no float64
    rows, columns, inverse_columns, inverse_rows = _matrices(device)
    blocks = batch * channels * height // 8
    x = plane.to(device, torch.float64).reshape(-1, 8)
    x = _round(x @ rows).view(blocks, 8, width)
    x = _round(torch.bmm(columns.expand(blocks, 8, 8), x))
    x = x.view(batch, -1, 8, width // 8, 8)
    step = steps.to(device, torch.float64)[:, None, :, None, :]
    level = x.div_(8.0 * step)  # to the nearest step, halves away from zero
    x = level.abs().add_(0.5).floor_().copysign_(level).mul_(step).view(blocks, 8, width)
    x = _round(torch.bmm(inverse_columns.expand(blocks, 8, 8), x)).view(-1, 8)
    return _round(x @ inverse_rows).clamp_(-128, 127).view(plane.shape).to(plane)


def _round(x: Tensor) -> Tensor:
    """In place to the nearest whole number, halves up."""
    return x.add_(0.5).floor_()


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _matrices(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What a row is multiplied with, and what multiplies a column; of the inverse, columns first."""
    matrix = torch.tensor(DCT, dtype=torch.float64, device=device)
    (rows, columns), (back_columns, back_rows) = FORWARD_BITS, INVERSE_BITS
    return (
        matrix.t() / 2**rows,
        matrix / 2**columns,
        matrix.t() / 2**back_columns,
        matrix / 2**back_rows,
    )
