"""The Triton kernels of neighborhood.py.

A program takes a TILE_H x TILE_W tile of one residue class modulo the dilation, of one image and head, and goes
through the halo that the tile sees (or, for the gradients of k and v, is seen from), BLOCK positions at a time. What
a query sees along an axis of length L, in its class: kernel positions from clamp(query - kernel // 2, 0, L - kernel).
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from pmrf_blocks.kernels.choice import interpreted

LOG2E = tl.constexpr(math.log2(math.e))
LN2 = tl.constexpr(math.log(2.0))


@triton.jit
def _tile(H, W, DH: tl.constexpr, DW: tl.constexpr, TILE_H: tl.constexpr, TILE_W: tl.constexpr):
    """Program 0's remainder (row, column), how many positions share it, and the first of them in the tile."""
    index = tl.program_id(0)
    tiles_w = tl.cdiv(tl.cdiv(W, DW), TILE_W)
    tiles_h = tl.cdiv(tl.cdiv(H, DH), TILE_H)
    column, index = (index % tiles_w) * TILE_W, index // tiles_w
    row, index = (index % tiles_h) * TILE_H, index // tiles_h
    rest_w, rest_h = index % DW, index // DW
    return rest_h, rest_w, tl.cdiv(H - rest_h, DH), tl.cdiv(W - rest_w, DW), row, column


@triton.jit
def _first(query, length, KERNEL: tl.constexpr):
    """First position that a query sees."""
    return tl.minimum(tl.maximum(query - KERNEL // 2, 0), length - KERNEL)


@triton.jit
def _load(base, h, w, there, rest_h, rest_w, sh, sw, DH: tl.constexpr, DW: tl.constexpr, D: tl.constexpr,
          BLOCK_D: tl.constexpr, OPERAND: tl.constexpr):  # fmt: skip
    """(positions, BLOCK_D) of the residue class, zero beyond D and where a position is not there."""
    channel = tl.arange(0, BLOCK_D)[None, :]
    place = (h * DH + rest_h).to(tl.int64) * sh + (w * DW + rest_w).to(tl.int64) * sw
    return tl.load(base + place[:, None] + channel, mask=there[:, None] & (channel < D), other=0.0).to(OPERAND)


@triton.jit
def _forward(
    q, k, v, out, lse, H, W, N, scale,
    qb, qh, qw, qn, kb, kh, kw, kn, vb, vh, vw, vn,
    KH: tl.constexpr, KW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr, D: tl.constexpr, DV: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_DV: tl.constexpr,
    PRECISION: tl.constexpr, OPERAND: tl.constexpr,
):  # fmt: skip
    rest_h, rest_w, LH, LW, h0, w0 = _tile(H, W, DH, DW, TILE_H, TILE_W)
    if (h0 < LH) & (w0 < LW):
        image, head = (tl.program_id(1) // N).to(tl.int64), tl.program_id(1) % N
        index = tl.arange(0, TILE_H * TILE_W)
        there = (h0 + index // TILE_W < LH) & (w0 + index % TILE_W < LW)
        # Queries beyond the end repeat the last ones, so that every softmax has keys.
        y, x = tl.minimum(h0 + index // TILE_W, LH - 1), tl.minimum(w0 + index % TILE_W, LW - 1)
        query = _load(q + image * qb + head * qn, y, x, there, rest_h, rest_w, qh, qw, DH, DW, D, BLOCK_D, OPERAND)

        yq, xq = _first(y, LH, KH)[:, None], _first(x, LW, KW)[:, None]
        top, left = _first(h0, LH, KH), _first(w0, LW, KW)
        halo_h = _first(tl.minimum(h0 + TILE_H, LH) - 1, LH, KH) + KH - top
        halo_w = _first(tl.minimum(w0 + TILE_W, LW) - 1, LW, KW) + KW - left
        best = tl.full([TILE_H * TILE_W], -1e30, dtype=tl.float32)
        total = tl.zeros([TILE_H * TILE_W], dtype=tl.float32)
        result = tl.zeros([TILE_H * TILE_W, BLOCK_DV], dtype=tl.float32)
        for start in range(0, halo_h * halo_w, BLOCK):
            index_k = start + tl.arange(0, BLOCK)
            inside = index_k < halo_h * halo_w
            yk, xk = top + index_k // halo_w, left + index_k % halo_w
            key = _load(k + image * kb + head * kn, yk, xk, inside, rest_h, rest_w, kh, kw, DH, DW, D, BLOCK_D, OPERAND)
            value = _load(
                v + image * vb + head * vn, yk, xk, inside, rest_h, rest_w, vh, vw, DH, DW, DV, BLOCK_DV, OPERAND
            )
            dy, dx = yk[None, :] - yq, xk[None, :] - xq
            seen = (dy >= 0) & (dy < KH) & (dx >= 0) & (dx < KW) & inside[None, :]
            logit = tl.dot(query, tl.trans(key), input_precision=PRECISION) * (scale * LOG2E)
            logit = tl.where(seen, logit, float("-inf"))
            higher = tl.maximum(best, tl.max(logit, 1))
            weight = tl.exp2(logit - higher[:, None])
            fade = tl.exp2(best - higher)
            total = total * fade + tl.sum(weight, 1)
            result = tl.dot(weight.to(value.dtype), value, result * fade[:, None], input_precision=PRECISION)
            best = higher

        pixel = (image * H + y * DH + rest_h) * W + x * DW + rest_w
        channel = tl.arange(0, BLOCK_DV)[None, :]
        place = out + ((pixel * N + head) * DV)[:, None] + channel
        result = result / total[:, None]
        tl.store(place, result.to(out.dtype.element_ty), mask=there[:, None] & (channel < DV))
        tl.store(lse + pixel * N + head, best * LN2 + tl.log(total), mask=there)


@triton.jit
def _backward_q(
    grad, q, k, v, out, lse, delta, dq, H, W, N, scale,
    qb, qh, qw, qn, kb, kh, kw, kn, vb, vh, vw, vn,
    KH: tl.constexpr, KW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr, D: tl.constexpr, DV: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_DV: tl.constexpr,
    PRECISION: tl.constexpr, OPERAND: tl.constexpr,
):  # fmt: skip
    """dq, and delta (B, H, W, N): the sum of grad * out, which the other kernel reads."""
    rest_h, rest_w, LH, LW, h0, w0 = _tile(H, W, DH, DW, TILE_H, TILE_W)
    if (h0 < LH) & (w0 < LW):
        image, head = (tl.program_id(1) // N).to(tl.int64), tl.program_id(1) % N
        index = tl.arange(0, TILE_H * TILE_W)
        there = (h0 + index // TILE_W < LH) & (w0 + index % TILE_W < LW)
        y, x = tl.minimum(h0 + index // TILE_W, LH - 1), tl.minimum(w0 + index % TILE_W, LW - 1)
        query = _load(q + image * qb + head * qn, y, x, there, rest_h, rest_w, qh, qw, DH, DW, D, BLOCK_D, OPERAND)
        pixel = (image * H + y * DH + rest_h) * W + x * DW + rest_w
        channel = tl.arange(0, BLOCK_DV)[None, :]
        place = ((pixel * N + head) * DV)[:, None] + channel
        g = tl.load(grad + place, mask=there[:, None] & (channel < DV), other=0.0).to(OPERAND)
        o = tl.load(out + place, mask=there[:, None] & (channel < DV), other=0.0).to(OPERAND)
        d = tl.sum(g.to(tl.float32) * o.to(tl.float32), 1)
        tl.store(delta + pixel * N + head, d, mask=there)
        norm = tl.load(lse + pixel * N + head, mask=there, other=0.0) * LOG2E

        yq, xq = _first(y, LH, KH)[:, None], _first(x, LW, KW)[:, None]
        top, left = _first(h0, LH, KH), _first(w0, LW, KW)
        halo_h = _first(tl.minimum(h0 + TILE_H, LH) - 1, LH, KH) + KH - top
        halo_w = _first(tl.minimum(w0 + TILE_W, LW) - 1, LW, KW) + KW - left
        result = tl.zeros([TILE_H * TILE_W, BLOCK_D], dtype=tl.float32)
        for start in range(0, halo_h * halo_w, BLOCK):
            index_k = start + tl.arange(0, BLOCK)
            inside = index_k < halo_h * halo_w
            yk, xk = top + index_k // halo_w, left + index_k % halo_w
            key = _load(k + image * kb + head * kn, yk, xk, inside, rest_h, rest_w, kh, kw, DH, DW, D, BLOCK_D, OPERAND)
            value = _load(
                v + image * vb + head * vn, yk, xk, inside, rest_h, rest_w, vh, vw, DH, DW, DV, BLOCK_DV, OPERAND
            )
            dy, dx = yk[None, :] - yq, xk[None, :] - xq
            seen = (dy >= 0) & (dy < KH) & (dx >= 0) & (dx < KW) & inside[None, :] & there[:, None]
            logit = tl.dot(query, tl.trans(key), input_precision=PRECISION) * (scale * LOG2E)
            weight = tl.exp2(tl.where(seen, logit - norm[:, None], float("-inf")))
            slope = weight * (tl.dot(g, tl.trans(value), input_precision=PRECISION) - d[:, None])
            result = tl.dot(slope.to(key.dtype), key, result, input_precision=PRECISION)

        channel = tl.arange(0, BLOCK_D)[None, :]
        place = dq + ((pixel * N + head) * D)[:, None] + channel
        tl.store(place, (result * scale).to(dq.dtype.element_ty), mask=there[:, None] & (channel < D))


@triton.jit
def _seen_from(first, last, length, KERNEL: tl.constexpr):
    """First and last query that see a position between `first` and `last`: all up to the border where they touch it."""
    low = tl.where(first < KERNEL, 0, first - KERNEL + 1 + KERNEL // 2)
    high = tl.where(last >= length - KERNEL, length - 1, last + KERNEL // 2)
    return low, tl.minimum(high, length - 1)


@triton.jit
def _backward_kv(
    grad, q, k, v, lse, delta, dk, dv, H, W, N, scale,
    qb, qh, qw, qn, kb, kh, kw, kn, vb, vh, vw, vn,
    KH: tl.constexpr, KW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr, D: tl.constexpr, DV: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_DV: tl.constexpr,
    PRECISION: tl.constexpr, OPERAND: tl.constexpr,
):  # fmt: skip
    rest_h, rest_w, LH, LW, h0, w0 = _tile(H, W, DH, DW, TILE_H, TILE_W)
    if (h0 < LH) & (w0 < LW):
        image, head = (tl.program_id(1) // N).to(tl.int64), tl.program_id(1) % N
        index = tl.arange(0, TILE_H * TILE_W)
        y, x = h0 + index // TILE_W, w0 + index % TILE_W
        there = (y < LH) & (x < LW)
        key = _load(k + image * kb + head * kn, y, x, there, rest_h, rest_w, kh, kw, DH, DW, D, BLOCK_D, OPERAND)
        value = _load(v + image * vb + head * vn, y, x, there, rest_h, rest_w, vh, vw, DH, DW, DV, BLOCK_DV, OPERAND)

        top, bottom = _seen_from(h0, tl.minimum(h0 + TILE_H, LH) - 1, LH, KH)
        left, right = _seen_from(w0, tl.minimum(w0 + TILE_W, LW) - 1, LW, KW)
        halo_w = right - left + 1
        count = (bottom - top + 1) * halo_w
        result_k = tl.zeros([TILE_H * TILE_W, BLOCK_D], dtype=tl.float32)
        result_v = tl.zeros([TILE_H * TILE_W, BLOCK_DV], dtype=tl.float32)
        channel = tl.arange(0, BLOCK_DV)[None, :]
        for start in range(0, count, BLOCK):
            index_q = start + tl.arange(0, BLOCK)
            inside = index_q < count
            yq, xq = top + index_q // halo_w, left + index_q % halo_w
            query = _load(
                q + image * qb + head * qn, yq, xq, inside, rest_h, rest_w, qh, qw, DH, DW, D, BLOCK_D, OPERAND
            )
            pixel = (image * H + yq * DH + rest_h) * W + xq * DW + rest_w
            place = grad + ((pixel * N + head) * DV)[:, None] + channel
            g = tl.load(place, mask=inside[:, None] & (channel < DV), other=0.0).to(OPERAND)
            norm = tl.load(lse + pixel * N + head, mask=inside, other=0.0) * LOG2E
            d = tl.load(delta + pixel * N + head, mask=inside, other=0.0)
            dy, dx = y[:, None] - _first(yq, LH, KH)[None, :], x[:, None] - _first(xq, LW, KW)[None, :]
            seen = (dy >= 0) & (dy < KH) & (dx >= 0) & (dx < KW) & inside[None, :] & there[:, None]
            logit = tl.dot(key, tl.trans(query), input_precision=PRECISION) * (scale * LOG2E)
            weight = tl.exp2(tl.where(seen, logit - norm[None, :], float("-inf")))
            result_v = tl.dot(weight.to(g.dtype), g, result_v, input_precision=PRECISION)
            slope = weight * (tl.dot(value, tl.trans(g), input_precision=PRECISION) - d[None, :])
            result_k = tl.dot(slope.to(query.dtype), query, result_k, input_precision=PRECISION)

        pixel = ((image * H + y * DH + rest_h) * W + x * DW + rest_w) * N + head
        tl.store(
            dv + (pixel * DV)[:, None] + channel,
            result_v.to(dv.dtype.element_ty),
            mask=there[:, None] & (channel < DV),
        )
        channel = tl.arange(0, BLOCK_D)[None, :]
        tl.store(
            dk + (pixel * D)[:, None] + channel,
            (result_k * scale).to(dk.dtype.element_ty),
            mask=there[:, None] & (channel < D),
        )


def forward(
    q: Tensor, k: Tensor, v: Tensor, kernel: list[int], dilation: list[int], scale: float
) -> tuple[Tensor, Tensor]:
    out, lse = v.new_empty(v.shape), q.new_empty(q.shape[:4], dtype=torch.float32)
    grid, sizes = _launch(q, v, kernel, dilation)
    if q.numel():
        _forward[grid](q, k, v, out, lse, *q.shape[1:4], scale, *_strides(q, k, v), **sizes)
    return out, lse


def backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor,
    kernel: list[int], dilation: list[int], scale: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """grad and out contiguous."""
    dq, dk, dv = (x.new_empty(x.shape) for x in (q, k, v))
    delta = torch.empty_like(lse)
    grid, sizes = _launch(q, v, kernel, dilation)
    if q.numel():
        shape, strides = q.shape[1:4], _strides(q, k, v)
        _backward_q[grid](grad, q, k, v, out, lse, delta, dq, *shape, scale, *strides, **sizes)
        _backward_kv[grid](grad, q, k, v, lse, delta, dk, dv, *shape, scale, *strides, **sizes)
    return dq, dk, dv


def _strides(*tensors: Tensor) -> list[int]:
    return [s for x in tensors for s in x.stride()[:4]]


def _launch(q: Tensor, v: Tensor, kernel: list[int], dilation: list[int]) -> tuple[tuple[int, int], dict[str, object]]:
    """The grid (tiles of all residue classes, images x heads) and the constants of the kernels.

    64 queries against 64 keys at a time; 32 against 32 for wide float32 heads, to stay within registers and shared
    memory: there products are sums of multiplications, not tensor core instructions.
    """
    batch, height, width, heads, head_dim = q.shape
    block_d, block_dv = (max(16, triton.next_power_of_2(d)) for d in (head_dim, v.shape[-1]))
    widest = max(block_d, block_dv)
    narrow = q.dtype == torch.float32 and widest >= 64
    tile = (4, 8) if narrow else (8, 8)
    tiles = [triton.cdiv(triton.cdiv(size, d), t) for size, d, t in zip((height, width), dilation, tile)]
    sizes = {
        "KH": kernel[0], "KW": kernel[1], "DH": dilation[0], "DW": dilation[1], "D": head_dim, "DV": v.shape[-1],
        "TILE_H": tile[0], "TILE_W": tile[1], "BLOCK": 32 if narrow else 64,
        "BLOCK_D": block_d, "BLOCK_DV": block_dv, "OPERAND": _operand(q.dtype),
        # What torch itself does with float32 products; the other dtypes ignore it.
        "PRECISION": "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee",
        "num_warps": 8 if widest >= 128 else 4, "num_stages": 2,
    }  # fmt: skip
    return (tiles[0] * tiles[1] * dilation[0] * dilation[1], batch * heads), sizes


def _operand(dtype: torch.dtype) -> tl.dtype:
    """What products are given: the tensors' own dtype, but for the interpreter, which cannot multiply bfloat16."""
    if interpreted() and dtype == torch.bfloat16:
        return tl.float32
    return {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}[dtype]
