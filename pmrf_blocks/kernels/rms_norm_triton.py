"""The Triton kernels of rms_norm.py: program (i, b) takes blocks of rows of image b."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pmrf_blocks.kernels.launch import block_rows, programs


@triton.jit
def _forward(
    x, scale, y, rrms, rows, eps, C: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr
):  # fmt: skip
    image = tl.program_id(1).to(tl.int64)
    channel = tl.arange(0, BLOCK_C)
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    there = (row < rows)[:, None] & (channel < C)[None, :]
    place = (image * rows + row)[:, None] * C + channel[None, :]
    wide = tl.load(x + place, mask=there, other=0.0).to(tl.float32)
    factor = 1.0 / tl.sqrt(tl.sum(wide * wide, 1) / C + eps)
    s = tl.load(scale + image * C + channel, mask=channel < C, other=0.0).to(tl.float32)
    tl.store(y + place, (wide * factor[:, None] * s[None, :]).to(y.dtype.element_ty), mask=there)
    tl.store(rrms + image * rows + row, factor, mask=row < rows)


@triton.jit
def _backward(
    grad, x, scale, rrms, dx, dscale, rows, stride,
    C: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    # Each program keeps its own sum for the scale of its image: no atomics, so that two runs give the same bits.
    image = tl.program_id(1).to(tl.int64)
    channel = tl.arange(0, BLOCK_C)
    s = tl.load(scale + image * C + channel, mask=channel < C, other=0.0).to(tl.float32)
    ds = tl.zeros([BLOCK_C], dtype=tl.float32)
    for first in range(tl.program_id(0) * BLOCK_M, rows, stride):
        row = first + tl.arange(0, BLOCK_M)
        there = (row < rows)[:, None] & (channel < C)[None, :]
        place = (image * rows + row)[:, None] * C + channel[None, :]
        factor = tl.load(rrms + image * rows + row, mask=row < rows, other=0.0)
        unit = tl.load(x + place, mask=there, other=0.0).to(tl.float32) * factor[:, None]
        g = tl.load(grad + place, mask=there, other=0.0).to(tl.float32)
        ds += tl.sum(g * unit, 0)
        g = g * s[None, :]
        along = tl.sum(g * unit, 1) / C
        out = (g - unit * along[:, None]) * factor[:, None]
        tl.store(dx + place, out.to(dx.dtype.element_ty), mask=there)
    place = (image * tl.num_programs(0) + tl.program_id(0)) * C + channel
    tl.store(dscale + place, ds, mask=channel < C)


def forward(x: Tensor, scale: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    images, rows, channels = x.shape
    y, rrms = torch.empty_like(x), x.new_empty(images, rows, dtype=torch.float32)
    block_c = triton.next_power_of_2(channels)
    block_m = block_rows(block_c)
    if x.numel():
        _forward[(triton.cdiv(rows, block_m), images)](
            x, scale, y, rrms, rows, eps, C=channels, BLOCK_M=block_m, BLOCK_C=block_c
        )
    return y, rrms


def backward(grad: Tensor, x: Tensor, scale: Tensor, rrms: Tensor) -> tuple[Tensor, Tensor]:
    images, rows, channels = x.shape
    block_c = triton.next_power_of_2(channels)
    block_m = block_rows(block_c)
    count = programs(x.device, triton.cdiv(rows, block_m))
    dx = torch.empty_like(x)
    dscale = x.new_zeros(images, count, channels, dtype=torch.float32)
    if x.numel():
        _backward[(count, images)](
            grad, x, scale, rrms, dx, dscale, rows, count * block_m, C=channels, BLOCK_M=block_m, BLOCK_C=block_c
        )
    return dx, dscale.sum(1).to(scale.dtype)
