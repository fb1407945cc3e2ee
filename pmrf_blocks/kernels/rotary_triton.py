"""The Triton kernels of rotary.py: program (i, part) takes a block of rows, one a pixel and head, of q or of k."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

EPS = tl.constexpr(1e-6)


@triton.jit
def _places(row, H, W, N, sb, sh, sw, sn):
    """Where each row (one of B * H * W * N) starts in memory."""
    pixel = row // N
    line = pixel // W
    return (line // H) * sb + (line % H) * sh + (pixel % W) * sw + (row % N) * sn


@triton.jit
def _forward(
    q, k, q_out, k_out, cos, sin, scale, rows, H, W, N,
    qb, qh, qw, qn, kb, kh, kw, kn, oqb, oqh, oqw, oqn, okb, okh, okw, okn,
    TURN: tl.constexpr, D: tl.constexpr, COSINE: tl.constexpr, COPY: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_R: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    if tl.program_id(1) == 0:
        source = q + _places(row, H, W, N, qb, qh, qw, qn)[:, None]
        target = q_out + _places(row, H, W, N, oqb, oqh, oqw, oqn)[:, None]
    else:
        source = k + _places(row, H, W, N, kb, kh, kw, kn)[:, None]
        target = k_out + _places(row, H, W, N, okb, okh, okw, okn)[:, None]
    turn = tl.arange(0, BLOCK_T)[None, :]
    first = (row < rows)[:, None] & (turn < TURN)
    a = tl.load(source + turn, mask=first, other=0.0).to(tl.float32)
    b = tl.load(source + TURN + turn, mask=first, other=0.0).to(tl.float32)
    angle = (row % (H * W * N))[:, None] * TURN + turn
    c = tl.load(cos + angle, mask=first, other=0.0).to(tl.float32)
    s = tl.load(sin + angle, mask=first, other=0.0).to(tl.float32)
    if COSINE or COPY:
        rest = tl.arange(0, BLOCK_R)[None, :]
        last = (row < rows)[:, None] & (rest < D - 2 * TURN)
        r = tl.load(source + 2 * TURN + rest, mask=last, other=0.0).to(tl.float32)
        if COSINE:
            square = tl.sum(a * a, 1) + tl.sum(b * b, 1) + tl.sum(r * r, 1)
            factor = tl.sqrt(tl.load(scale + row % N).to(tl.float32)) / tl.sqrt(square + EPS)
            a, b, r = a * factor[:, None], b * factor[:, None], r * factor[:, None]
        tl.store(target + 2 * TURN + rest, r.to(q_out.dtype.element_ty), mask=last)
    tl.store(target + turn, (a * c - b * s).to(q_out.dtype.element_ty), mask=first)
    tl.store(target + TURN + turn, (b * c + a * s).to(q_out.dtype.element_ty), mask=first)


@triton.jit
def _backward(
    dq, dk, q, k, q_out, k_out, dscale, cos, sin, scale, rows, H, W, N, qb, qh, qw, qn, kb, kh, kw, kn,
    TURN: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_R: tl.constexpr,
):  # fmt: skip
    # With u = x / |x| and m = sqrt(scale), turned back gradient g: dx = m / |x| (g - u (u . g)), dm = u . g.
    row = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    flat = row[:, None] * D
    if tl.program_id(1) == 0:
        source, grad, target = q + _places(row, H, W, N, qb, qh, qw, qn)[:, None], dq + flat, q_out + flat
    else:
        source, grad, target = k + _places(row, H, W, N, kb, kh, kw, kn)[:, None], dk + flat, k_out + flat
    turn, rest = tl.arange(0, BLOCK_T)[None, :], tl.arange(0, BLOCK_R)[None, :]
    first = (row < rows)[:, None] & (turn < TURN)
    last = (row < rows)[:, None] & (rest < D - 2 * TURN)
    a = tl.load(source + turn, mask=first, other=0.0).to(tl.float32)
    b = tl.load(source + TURN + turn, mask=first, other=0.0).to(tl.float32)
    r = tl.load(source + 2 * TURN + rest, mask=last, other=0.0).to(tl.float32)
    angle = (row % (H * W * N))[:, None] * TURN + turn
    c = tl.load(cos + angle, mask=first, other=0.0).to(tl.float32)
    s = tl.load(sin + angle, mask=first, other=0.0).to(tl.float32)
    ya = tl.load(grad + turn, mask=first, other=0.0).to(tl.float32)
    yb = tl.load(grad + TURN + turn, mask=first, other=0.0).to(tl.float32)
    gr = tl.load(grad + 2 * TURN + rest, mask=last, other=0.0).to(tl.float32)
    ga, gb = ya * c + yb * s, yb * c - ya * s
    inverse = 1.0 / tl.sqrt(tl.sum(a * a, 1) + tl.sum(b * b, 1) + tl.sum(r * r, 1) + EPS)
    along = (tl.sum(a * ga, 1) + tl.sum(b * gb, 1) + tl.sum(r * gr, 1)) * inverse
    factor = tl.sqrt(tl.load(scale + row % N).to(tl.float32)) * inverse
    back = (along * inverse)[:, None]
    tl.store(target + turn, ((ga - a * back) * factor[:, None]).to(q_out.dtype.element_ty), mask=first)
    tl.store(target + TURN + turn, ((gb - b * back) * factor[:, None]).to(q_out.dtype.element_ty), mask=first)
    tl.store(target + 2 * TURN + rest, ((gr - r * back) * factor[:, None]).to(q_out.dtype.element_ty), mask=last)
    tl.store(dscale + tl.program_id(1) * rows + row, along, mask=row < rows)


def _blocks(turn: int, width: int) -> dict[str, int]:
    rest = triton.next_power_of_2(max(width - 2 * turn, 1))
    return {"BLOCK_T": triton.next_power_of_2(turn), "BLOCK_R": rest, "BLOCK_M": max(1, min(64, 2048 // rest))}


def forward(q: Tensor, k: Tensor, q_out: Tensor, k_out: Tensor, cos: Tensor, sin: Tensor, scale: Tensor | None) -> None:
    """q_out and k_out may be q and k."""
    _, height, width, heads, _ = q.shape
    turn, rows = cos.shape[-1], q.numel() // q.shape[-1]
    blocks = _blocks(turn, q.shape[-1])
    if rows:
        _forward[(triton.cdiv(rows, blocks["BLOCK_M"]), 2)](
            q, k, q_out, k_out, cos, sin, cos if scale is None else scale, rows, height, width, heads,
            *q.stride()[:4], *k.stride()[:4], *q_out.stride()[:4], *k_out.stride()[:4],
            TURN=turn, D=q.shape[-1], COSINE=scale is not None, COPY=q is not q_out, **blocks,
        )  # fmt: skip


def backward(
    dq: Tensor, dk: Tensor, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """dq and dk contiguous."""
    _, height, width, heads, _ = q.shape
    turn, rows = cos.shape[-1], q.numel() // q.shape[-1]
    q_out, k_out = q.new_empty(q.shape), k.new_empty(k.shape)
    along = q.new_empty(2, rows, dtype=torch.float32)
    blocks = _blocks(turn, q.shape[-1])
    if rows:
        _backward[(triton.cdiv(rows, blocks["BLOCK_M"]), 2)](
            dq, dk, q, k, q_out, k_out, along, cos, sin, scale, rows, height, width, heads,
            *q.stride()[:4], *k.stride()[:4], TURN=turn, D=q.shape[-1], **blocks,
        )  # fmt: skip
    dscale = along.view(-1, heads).sum(0) * 0.5 * scale.float().rsqrt()
    return q_out, k_out, dscale.to(scale.dtype)
