"""The Triton kernels of layer_norm.py: one program takes blocks of rows, C channels each, at once."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pmrf_blocks.kernels.launch import block_rows, programs


@triton.jit
def _forward(
    x, weight, bias, y, mean, rstd, rows, eps,
    C: tl.constexpr, SILU: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    channel = tl.arange(0, BLOCK_C)
    row = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    there = (row < rows)[:, None] & (channel < C)[None, :]
    place = row[:, None] * C + channel[None, :]
    wide = tl.load(x + place, mask=there, other=0.0).to(tl.float32)
    mu = tl.sum(wide, 1) / C
    centred = tl.where((channel < C)[None, :], wide - mu[:, None], 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / C + eps)
    w = tl.load(weight + channel, mask=channel < C, other=0.0).to(tl.float32)
    b = tl.load(bias + channel, mask=channel < C, other=0.0).to(tl.float32)
    out = centred * scale[:, None] * w[None, :] + b[None, :]
    if SILU:
        out = out * tl.sigmoid(out)
    tl.store(y + place, out.to(y.dtype.element_ty), mask=there)
    tl.store(mean + row, mu, mask=row < rows)
    tl.store(rstd + row, scale, mask=row < rows)


@triton.jit
def _backward(
    grad, x, weight, bias, mean, rstd, dx, dweight, dbias, rows, stride,
    C: tl.constexpr, SILU: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    # Each program goes through the rows in steps of `stride` and keeps its own sums for weight and bias: no atomics,
    # so that two runs give the same bits.
    channel = tl.arange(0, BLOCK_C)
    w = tl.load(weight + channel, mask=channel < C, other=0.0).to(tl.float32)
    b = tl.load(bias + channel, mask=channel < C, other=0.0).to(tl.float32)
    dw = tl.zeros([BLOCK_C], dtype=tl.float32)
    db = tl.zeros([BLOCK_C], dtype=tl.float32)
    for first in range(tl.program_id(0) * BLOCK_M, rows, stride):
        row = tl.cast(first, tl.int64) + tl.arange(0, BLOCK_M)
        there = (row < rows)[:, None] & (channel < C)[None, :]
        place = row[:, None] * C + channel[None, :]
        mu = tl.load(mean + row, mask=row < rows, other=0.0)
        scale = tl.load(rstd + row, mask=row < rows, other=0.0)
        g = tl.load(grad + place, mask=there, other=0.0).to(tl.float32)
        unit = (tl.load(x + place, mask=there, other=0.0).to(tl.float32) - mu[:, None]) * scale[:, None]
        unit = tl.where(there, unit, 0.0)
        if SILU:
            z = unit * w[None, :] + b[None, :]
            s = tl.sigmoid(z)
            g = g * (s * (1.0 + z * (1.0 - s)))
        dw += tl.sum(g * unit, 0)
        db += tl.sum(g, 0)
        g = g * w[None, :]
        along = tl.sum(g * unit, 1) / C
        level = tl.sum(g, 1) / C
        out = (g - unit * along[:, None] - level[:, None]) * scale[:, None]
        tl.store(dx + place, out.to(dx.dtype.element_ty), mask=there)
    place = tl.program_id(0) * C + channel
    tl.store(dweight + place, dw, mask=channel < C)
    tl.store(dbias + place, db, mask=channel < C)


def forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float, silu: bool) -> tuple[Tensor, Tensor, Tensor]:
    rows, channels = x.shape
    y = torch.empty_like(x)
    mean, rstd = (x.new_empty(rows, dtype=torch.float32) for _ in range(2))
    block_c = triton.next_power_of_2(channels)
    block_m = block_rows(block_c)
    if rows:
        _forward[(triton.cdiv(rows, block_m),)](
            x, weight, bias, y, mean, rstd, rows, eps, C=channels, SILU=silu, BLOCK_M=block_m, BLOCK_C=block_c
        )
    return y, mean, rstd


def backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, silu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    rows, channels = x.shape
    block_c = triton.next_power_of_2(channels)
    block_m = block_rows(block_c)
    count = programs(x.device, triton.cdiv(rows, block_m))
    dx = torch.empty_like(x)
    dweight, dbias = (x.new_zeros(count, channels, dtype=torch.float32) for _ in range(2))
    if rows:
        _backward[(count,)](
            grad, x, weight, bias, mean, rstd, dx, dweight, dbias, rows, count * block_m,
            C=channels, SILU=silu, BLOCK_M=block_m, BLOCK_C=block_c,
        )  # fmt: skip
    return dx, dweight.sum(0).to(weight.dtype), dbias.sum(0).to(bias.dtype)
