"""Neighborhood attention in pure PyTorch, exact, linear in pixels: tiles of queries against the block that they see.

A tile of T x T queries sees a block of about (T + kernel - 1)^2 keys. One row of tiles at a time is given to scaled
dot-product attention, with the mask that cuts each query's window out of the block. Laid out column by column, the
rows of keys that it sees hold every block in one piece: blocks are overlapping views of one copy. Only a row of tiles
is held at a time, in the backward pass too, which does each row's attention again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.attention.dense import dense_attention
from pmrf_blocks.attention.scaled_dot_product import attend
from pmrf_blocks.attention.windows import Pair, axis_windows
from pmrf_blocks.kernels import forward_mode

TILE = 4
BACKWARD_TILE = 8  # fewer sums over overlapping blocks
WHOLE = 16  # grids up to this side are one tile: copying would cost more than it saves


def tiled_attention(q: Tensor, k: Tensor, v: Tensor, kernel: Pair, dilation: Pair, scale: float) -> Tensor:
    """As neighborhood_attention_2d, arguments checked already."""
    if dilation != (1, 1):
        return _dilated(q, k, v, kernel, dilation, scale)
    if q.shape[1] <= WHOLE and q.shape[2] <= WHOLE:
        return dense_attention(q, k, v, kernel, dilation, scale)
    if q.dtype == torch.float64 or torch.compiler.is_compiling() or forward_mode(q, k, v):
        return _plain(q, k, v, kernel, scale)
    return Rows.apply(q, k, v, kernel, scale)


@dataclass(frozen=True)
class Plan:
    """What depends on shapes alone.

    A row of tiles sees `rows_seen` rows of keys, the first one of `starts`; these are laid out as (N, columns,
    rows_seen, D) with `left` columns before the first and `right` after the last; `columns_seen` of them are a block.
    `masks`, one a row of tiles, (tiles, 1, T * T, columns_seen * rows_seen), are added to the logits: 0 or minus
    infinity.
    """

    tile: int
    starts: tuple[int, ...]
    rows_seen: int
    left: int
    right: int
    columns_seen: int
    masks: tuple[Tensor, ...]

    def queries(self, row: int) -> slice:
        return slice(row * self.tile, (row + 1) * self.tile)

    def keys(self, row: int) -> slice:
        return slice(self.starts[row], self.starts[row] + self.rows_seen)

    def empty(self, x: Tensor) -> Tensor:
        """Room for the rows of x (H, W, N, D) that a row of tiles sees; the columns at the border are zero."""
        _, width, heads, dim = x.shape
        return x.new_zeros(heads, self.left + width + self.right, self.rows_seen, dim)

    def inside(self, room: Tensor) -> Tensor:
        """The image's own columns of such room, (rows_seen, W, N, D)."""
        return room[:, self.left : room.shape[1] - self.right].permute(2, 1, 0, 3)

    def blocks(self, room: Tensor) -> Tensor:
        """The block of each tile, (tiles, N, columns_seen * rows_seen, D): a view."""
        return room.unfold(1, self.columns_seen, self.tile).permute(1, 0, 4, 2, 3).flatten(2, 3)

    def sum_blocks(self, blocks: Tensor, room: Tensor) -> Tensor:
        """What blocks() gave, added up where it overlaps."""
        room.zero_()
        parts = blocks.unflatten(2, (self.columns_seen, -1)).transpose(0, 1)  # (N, tiles, columns, rows, D)
        tiles = parts.shape[1]
        for first in range(0, self.columns_seen, self.tile):
            part = parts[:, :, first : first + self.tile]
            places = room[:, first:].unfold(1, part.shape[2], self.tile)[:, :tiles].permute(0, 1, 4, 2, 3)
            places += part
        return room


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # what is kept must serve training too, whoever asked first
def _plan(height: int, width: int, kernel: Pair, tile: int, dtype: torch.dtype, device: torch.device) -> Plan:
    starts, row_masks = axis_windows(height, kernel[0], tile)
    left, column_mask = _even_windows(width, kernel[1], tile)
    tiles, _, columns_seen = column_mask.shape
    masks: dict[bytes, Tensor] = {}  # all rows of tiles but those at the border share one
    names = [seen.tobytes() for seen in row_masks]
    for name, seen in zip(names, row_masks):
        if name not in masks:
            both = (column_mask[:, None, :, :, None] & seen[None, :, None, None, :]).reshape(tiles, 1, tile * tile, -1)
            masks[name] = torch.from_numpy(np.where(both, np.float32(0), np.float32("-inf"))).to(device, dtype)
    right = max(0, (tiles - 1) * tile + columns_seen - left - width)
    return Plan(
        tile, starts, row_masks.shape[2], left, right, columns_seen, tuple(masks[name] for name in names)
    )  # fmt: skip


def _even_windows(size: int, kernel: int, tile: int) -> tuple[int, np.ndarray]:
    """axis_windows() with blocks at even steps of a tile, the first at minus the number returned: views of one copy."""
    starts, seen = axis_windows(size, kernel, tile)
    tiles, queries, block = seen.shape
    at: Any = (
        np.array(starts)[:, None] + np.arange(block) - tile * np.arange(tiles)[:, None]
    )  # from the tile's own start
    wanted: Any = seen.any(1)
    first, last = at[wanted].min(), at[wanted].max()
    even = np.zeros((tiles, queries, last - first + 1), bool)
    for i, own in enumerate(wanted):
        even[i][:, at[i][own] - first] = seen[i][:, own]
    return -int(first), even


def _row(plan: Plan, row: int, queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Attention of one row of tiles: queries (r, W, N, D) over blocks of keys and values, to (r, W, N, D)."""
    rows, width = queries.shape[:2]
    missing = -width % plan.tile
    q = F.pad(queries, (0, 0, 0, 0, 0, missing)) if missing else queries
    q = q.unflatten(1, (-1, plan.tile)).permute(1, 3, 0, 2, 4).flatten(2, 3)  # (tiles, N, r * T, D)
    mask = plan.masks[row][:, :, : rows * plan.tile]  # the last row of tiles may hold fewer rows
    out = attend(q, keys, values, mask, scale)
    return out.unflatten(2, (rows, plan.tile)).permute(2, 0, 3, 1, 4).flatten(1, 2)[:, :width]


def _plain(q: Tensor, k: Tensor, v: Tensor, kernel: Pair, scale: float) -> Tensor:
    """Differentiable in every way, slowly and with all blocks kept."""
    plan = _plan(q.shape[1], q.shape[2], kernel, TILE, q.dtype, q.device)

    def blocks(x: Tensor, row: int) -> Tensor:
        return plan.blocks(F.pad(x[plan.keys(row)].permute(2, 1, 0, 3), (0, 0, 0, 0, plan.left, plan.right)))

    return torch.stack([
        torch.cat([
            _row(plan, row, image[plan.queries(row)], blocks(keys, row), blocks(values, row), scale)
            for row in range(len(plan.starts))
        ])
        for image, keys, values in zip(q, k, v)
    ])  # fmt: skip


class Rows(torch.autograd.Function):
    """_plain() with nothing kept for the backward pass but q, k and v: blocks are six times as large as these, and
    leave the processor's caches."""

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, kernel: Pair, scale: float) -> Tensor:
        plan = _plan(q.shape[1], q.shape[2], kernel, TILE, q.dtype, q.device)
        out = q.new_empty(*q.shape[:-1], v.shape[-1])
        keys, values = plan.empty(k[0]), plan.empty(v[0])
        for image in range(len(q)):
            for row in range(len(plan.starts)):
                seen = plan.keys(row)
                plan.inside(keys).copy_(k[image, seen])
                plan.inside(values).copy_(v[image, seen])
                own = plan.queries(row)
                out[image, own] = _row(plan, row, q[image, own], plan.blocks(keys), plan.blocks(values), scale)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.kernel, ctx.scale = inputs[3:]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative, or torch.func
            derivative = torch.func.vjp(lambda q, k, v: _plain(q, k, v, ctx.kernel, ctx.scale), q, k, v)[1]
            return *derivative(gradient), None, None
        plan = _plan(q.shape[1], q.shape[2], ctx.kernel, BACKWARD_TILE, q.dtype, q.device)
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        keys, values = plan.empty(k[0]), plan.empty(v[0])
        room = plan.empty(k[0]), plan.empty(v[0])
        for image in range(len(q)):
            for row in range(len(plan.starts)):
                own, seen = plan.queries(row), plan.keys(row)
                plan.inside(keys).copy_(k[image, seen])
                plan.inside(values).copy_(v[image, seen])
                leaves = [x.detach().requires_grad_() for x in (q[image, own], plan.blocks(keys), plan.blocks(values))]
                with torch.enable_grad():
                    out = _row(plan, row, leaves[0], leaves[1], leaves[2], ctx.scale)
                dq[image, own], *blocks = torch.autograd.grad(out, leaves, gradient[image, own])
                for whole, summed, part in zip((dk, dv), room, blocks):
                    whole[image, seen] += plan.inside(plan.sum_blocks(part, summed))
        return dq, dk, dv, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        count = info.batch_size
        q, k, v = (
            x.expand(count, *x.shape) if dim is None else x.movedim(dim, 0) for x, dim in zip(inputs, in_dims[:3])
        )
        out = tiled_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), inputs[3], (1, 1), inputs[4])
        return out.unflatten(0, (count, -1)), 0


def _dilated(q: Tensor, k: Tensor, v: Tensor, kernel: Pair, dilation: Pair, scale: float) -> Tensor:
    """Each residue class modulo the dilation is a grid of its own, attended without dilation."""
    size = (q.shape[1], q.shape[2])
    grids, order, back = _classes(size, dilation, q.device)
    counts = [height * width for height, width in grids]
    # Sorted by class in one gather, and back in another: slices of each class would cost the backward pass as many
    # zeroed images as there are classes.
    classes = zip(grids, *(x.flatten(1, 2).index_select(1, order).split(counts, 1) for x in (q, k, v)))
    parts = []
    for grid, *tensors in classes:
        q, k, v = (x.unflatten(1, grid) for x in tensors)
        parts.append(tiled_attention(q, k, v, kernel, (1, 1), scale).flatten(1, 2))
    return torch.cat(parts, 1).index_select(1, back).unflatten(1, size)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _classes(size: Pair, dilation: Pair, device: torch.device) -> tuple[list[Pair], Tensor, Tensor]:
    """The grid of each residue class, the pixels (H * W,) sorted by class, and where each pixel went."""
    pixels = torch.arange(size[0] * size[1]).view(size)
    parts = [pixels[i :: dilation[0], j :: dilation[1]] for i in range(dilation[0]) for j in range(dilation[1])]
    order = torch.cat([part.flatten() for part in parts])
    return [(part.shape[0], part.shape[1]) for part in parts], order.to(device), order.argsort().to(device)
