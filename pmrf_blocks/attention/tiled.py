"""Neighborhood attention in pure PyTorch, exact, linear in pixels: tiles of queries against the block that they see.

A tile of T x T queries sees a block of about (T + kernel - 1)^2 keys. One row of tiles at a time is given to scaled
dot-product attention, with the mask that cuts each query's window out of the block. Laid out column by column, the
rows of keys that it sees hold every block in one piece: blocks are overlapping views of one copy. Only a row of tiles
is held at a time, in the backward pass too, which does each row's attention again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.attention.dense import dense_attention
from pmrf_blocks.attention.keeping import kept
from pmrf_blocks.attention.scaled_dot_product import attend, forward_mode
from pmrf_blocks.attention.windows import Axis, Pair, Window, axis_tiles

TILE = 4
BACKWARD_TILE = 8  # fewer sums over overlapping blocks
WHOLE = 16  # grids up to this side are one tile: copying would cost more than it saves
ROOM = 2**18  # values that the copies of keys may have on a CPU: more would leave its caches


def tiled_attention(q: Tensor, k: Tensor, v: Tensor, window: Window, scale: float) -> Tensor:
    """As neighborhood_attention_2d, arguments checked already."""
    if torch.is_autocast_enabled(q.device.type) and q.dtype != torch.float64:
        q, k, v = (x.to(torch.get_autocast_dtype(q.device.type)) for x in (q, k, v))
    if window.dilation != (1, 1):
        return _dilated(q, k, v, window, scale)
    if (q.shape[1] <= WHOLE and q.shape[2] <= WHOLE) or not len(q):
        return dense_attention(q, k, v, window, scale)
    if q.dtype == torch.float64 or torch.compiler.is_compiling() or forward_mode(q, k, v):
        return _plain(q, k, v, window, scale)
    return Rows.apply(q, k, v, window, scale)


@dataclass(frozen=True)
class Plan:
    """What depends on shapes alone. Images are (H, W, B, N, D) here: views of what the caller has.

    A row of tiles sees `rows_seen` rows of keys, the first one of `starts`. They are laid out as (columns, rows_seen,
    B, N, D), with `left` columns of zeros before the image's and `right` after them, so that the block of tile i
    is columns i * tile to i * tile + columns_seen: with 10 pixels a row, kernel 5 and tiles of 4, `left` is 3 (the last
    tile's windows, shifted inside, begin 3 before it), `columns_seen` 9 and `right` 4. `masks`, one a row of tiles,
    (tiles, 1, tile * tile, columns_seen * rows_seen), are added to the logits: 0 or minus infinity.
    """

    tile: int
    starts: tuple[int, ...]
    rows_seen: int
    left: int
    right: int
    columns_seen: int
    masks: tuple[Tensor, ...]

    def keys(self, row: int) -> slice:
        return slice(self.starts[row], self.starts[row] + self.rows_seen)

    def room_shape(self, x: Tensor) -> tuple[int, ...]:
        """Shape of the rows of images x that a row of tiles sees: (columns, rows_seen, B, N, D)."""
        return self.left + x.shape[1] + self.right, self.rows_seen, *x.shape[2:]

    def inside(self, room: Tensor) -> Tensor:
        """The images' own columns of such room, (rows_seen, W, B, N, D)."""
        return room[self.left : len(room) - self.right].transpose(0, 1)

    def blocks(self, room: Tensor) -> Tensor:
        """The block of each tile, (tiles, B * N, columns_seen * rows_seen, D): a view."""
        return self._columns(room, self.columns_seen).flatten(2, 3)

    def sum_blocks(self, blocks: Tensor, room: Tensor) -> Tensor:
        """What blocks() gave, added up where it overlaps, in `room`. A tile's width of columns at a time: of these the
        blocks are disjoint."""
        room.zero_()
        parts = blocks.unflatten(2, (self.columns_seen, -1))
        for first in range(0, self.columns_seen, self.tile):
            part = parts[:, :, first : first + self.tile]
            self._columns(room[first:], part.shape[2])[: len(part)].add_(part)
        return room

    def _columns(self, room: Tensor, count: int) -> Tensor:
        """`count` columns from the first of each tile on, (tiles, B * N, count, rows_seen, D): a view."""
        return room.flatten(2, 3).unfold(0, count, self.tile).permute(0, 2, 4, 1, 3)

    def rows_of_tiles(self, x: Tensor) -> Tensor:
        """Images, their sides multiples of the tile, as (rows of tiles, tiles, tile, tile, B, N, D): a view."""
        return x.unflatten(1, (-1, self.tile)).unflatten(0, (-1, self.tile)).transpose(1, 2)


@kept(16)
def _plan(height: int, width: int, window: Window, tile: int, dtype: torch.dtype, device: torch.device) -> Plan:
    starts, row_masks = axis_tiles(height, window.axes[0], tile)
    left, column_mask = _even_tiles(width, window.axes[1], tile)
    tiles, _, columns_seen = column_mask.shape
    masks: dict[bytes, Tensor] = {}  # all rows of tiles but those at the border share one
    names = [seen.tobytes() for seen in row_masks]
    for name, seen in zip(names, row_masks):
        if name not in masks:
            both = (column_mask[:, None, :, :, None] & seen[None, :, None, None, :]).reshape(tiles, 1, tile * tile, -1)
            masks[name] = torch.from_numpy(np.where(both, np.float32(0), np.float32("-inf"))).to(device, dtype)
    right = max(0, (tiles - 1) * tile + columns_seen - left - width)
    return Plan(tile, starts, row_masks.shape[2], left, right, columns_seen, tuple(masks[name] for name in names))


def _even_tiles(size: int, axis: Axis, tile: int) -> tuple[int, np.ndarray]:
    """axis_tiles() with blocks at even steps of a tile, the first at minus the number returned: views of one copy."""
    starts, seen = axis_tiles(size, axis, tile)
    tiles, queries, block = seen.shape
    at: Any = np.array(starts)[:, None] + np.arange(block) - tile * np.arange(tiles)[:, None]  # from the tile's start
    wanted: Any = seen.any(1)
    first, last = at[wanted].min(), at[wanted].max()
    even = np.zeros((tiles, queries, last - first + 1), bool)
    for i, own in enumerate(wanted):
        even[i][:, at[i][own] - first] = seen[i][:, own]
    return -int(first), even


def _whole_tiles(x: Tensor, tile: int) -> Tensor:
    """(B, H, W, N, D) as (H, W, B, N, D), with zeros after the last row and column where a tile would be cut."""
    down, right = (-size % tile for size in x.shape[1:3])
    return (F.pad(x, (0, 0, 0, 0, 0, right, 0, down)) if down or right else x).permute(1, 2, 0, 3, 4)


def _row(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Attention of one row of tiles (tiles, T, T, B, N, D) over blocks of keys and values, to the same shape."""
    tiles, tile, _, batch, heads, dim = queries.shape
    out = attend(queries.reshape(tiles, tile * tile, batch * heads, dim).transpose(1, 2), keys, values, mask, scale)
    return out.transpose(1, 2).reshape(tiles, tile, tile, batch, heads, -1)


def _plain(q: Tensor, k: Tensor, v: Tensor, window: Window, scale: float) -> Tensor:
    """As differentiable as attend() is, with all blocks kept."""
    height, width = q.shape[1:3]
    plan = _plan(height, width, window, TILE, q.dtype, q.device)

    def blocks(x: Tensor, row: int) -> Tensor:
        rows = x[:, plan.keys(row)].permute(2, 1, 0, 3, 4)
        return plan.blocks(F.pad(rows, (0, 0, 0, 0, 0, 0, 0, 0, plan.left, plan.right)))

    queries = plan.rows_of_tiles(_whole_tiles(q, TILE))
    parts = [_row(own, blocks(k, i), blocks(v, i), plan.masks[i], scale) for i, own in enumerate(queries)]
    return torch.stack(parts).permute(4, 0, 2, 1, 3, 5, 6).flatten(3, 4).flatten(1, 2)[:, :height, :width]


class Room:
    """Room for the rows of images x that a row of tiles sees: filled again for each, its views made once."""

    def __init__(self, plan: Plan, x: Tensor) -> None:
        self.plan, self.x = plan, x
        room = x.new_zeros(plan.room_shape(x))
        self.inside, self.blocks = plan.inside(room), plan.blocks(room)

    def fill(self, row: int) -> Tensor:
        """The blocks of a row of tiles."""
        self.inside.copy_(self.x[self.plan.keys(row)])
        return self.blocks


def _some_images(plan: Plan, x: Tensor) -> int:
    """How many images (H, W, B, N, D) to take at once: on a CPU as many as the caches hold."""
    return x.shape[2] if x.device.type != "cpu" else max(1, ROOM // math.prod(plan.room_shape(x[:, :, :1])))


class Rows(torch.autograd.Function):
    """_plain() with nothing kept for the backward pass but q, k and v: blocks are six times as large as these, and
    leave the CPU's caches. Derivatives of derivatives go through _plain()."""

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, window: Window, scale: float) -> Tensor:
        height, width = q.shape[1:3]
        plan = _plan(height, width, window, TILE, q.dtype, q.device)
        queries = _whole_tiles(q, TILE)
        room_out = q.new_empty(len(q), *queries.shape[:2], q.shape[3], v.shape[-1])
        images = queries, *(x.permute(1, 2, 0, 3, 4) for x in (k, v, room_out))
        count = _some_images(plan, images[1])
        for some_q, some_k, some_v, some_out in zip(*(x.split(count, 2) for x in images)):
            keys, values = Room(plan, some_k), Room(plan, some_v)
            rows = zip(plan.rows_of_tiles(some_q), plan.rows_of_tiles(some_out), plan.masks)
            for row, (own, out, mask) in enumerate(rows):
                out.copy_(_row(own, keys.fill(row), values.fill(row), mask, scale))
        return room_out[:, :height, :width]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.save_for_forward(*inputs[:3])
        ctx.window, ctx.scale = inputs[3:]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph, or torch.func
            derivative = torch.func.vjp(lambda q, k, v: _plain(q, k, v, ctx.window, ctx.scale), q, k, v)[1]
            return *derivative(gradient), None, None
        plan = _plan(q.shape[1], q.shape[2], ctx.window, BACKWARD_TILE, q.dtype, q.device)
        whole_q, whole_g = (_whole_tiles(x, BACKWARD_TILE) for x in (q, gradient))
        dq = whole_q.new_empty(len(q), *whole_q.shape[:2], *q.shape[3:])
        dk, dv = torch.zeros_like(k), torch.zeros_like(v)
        images = whole_q, whole_g, *(x.permute(1, 2, 0, 3, 4) for x in (dq, k, v, dk, dv))
        count = _some_images(plan, images[3])
        for some in zip(*(x.split(count, 2) for x in images)):
            _row_gradients(plan, ctx.scale, *some)
        return dq[:, : q.shape[1], : q.shape[2]], dk, dv, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        inputs = ctx.saved_tensors
        own = tuple(torch.zeros_like(x) if t is None else t for x, t in zip(inputs, tangents[:3]))
        return torch.func.jvp(lambda q, k, v: _plain(q, k, v, ctx.window, ctx.scale), tuple(inputs), own)[1]

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        count = info.batch_size
        q, k, v = (
            x.expand(count, *x.shape) if dim is None else x.movedim(dim, 0) for x, dim in zip(inputs, in_dims[:3])
        )
        out = tiled_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), inputs[3], inputs[4])
        return out.unflatten(0, (count, -1)), 0


def _row_gradients(
    plan: Plan, scale: float, q: Tensor, g: Tensor, dq: Tensor, k: Tensor, v: Tensor, dk: Tensor, dv: Tensor
) -> None:
    """Gradients of some images (H, W, B, N, D), row by row, each row's attention done again: into dq, and added to dk
    and dv."""
    keys, values = Room(plan, k), Room(plan, v)
    room_dk, room_dv = (x.new_zeros(plan.room_shape(x)) for x in (dk, dv))
    rows = zip(*(plan.rows_of_tiles(x) for x in (q, g, dq)), plan.masks)
    for row, (own_q, own_g, own_dq, mask) in enumerate(rows):
        leaves = [x.detach().requires_grad_() for x in (own_q, keys.fill(row), values.fill(row))]
        with torch.enable_grad():
            out = _row(leaves[0], leaves[1], leaves[2], mask, scale)
        part, *blocks = torch.autograd.grad(out, leaves, own_g)
        own_dq.copy_(part)
        for whole, room, part in zip((dk, dv), (room_dk, room_dv), blocks):
            whole[plan.keys(row)] += plan.inside(plan.sum_blocks(part, room))


def _dilated(q: Tensor, k: Tensor, v: Tensor, window: Window, scale: float) -> Tensor:
    """Each residue class modulo the dilation is a grid of its own, attended without dilation."""
    size = (q.shape[1], q.shape[2])
    grids, order, back = _classes(size, window.dilation, q.device)
    counts = [height * width for height, width in grids]
    # Sorted by class in one gather, and back in another: slices of each class would cost the backward pass as many
    # zeroed images as there are classes.
    classes = zip(grids, *(x.flatten(1, 2).index_select(1, order).split(counts, 1) for x in (q, k, v)))
    parts, undilated = [], replace(window, dilation=(1, 1))
    for grid, *tensors in classes:
        q, k, v = (x.unflatten(1, grid) for x in tensors)
        parts.append(tiled_attention(q, k, v, undilated, scale).flatten(1, 2))
    return torch.cat(parts, 1).index_select(1, back).unflatten(1, size)


@kept(16)
def _classes(size: Pair, dilation: Pair, device: torch.device) -> tuple[list[Pair], Tensor, Tensor]:
    """The grid of each residue class, the pixels (H * W,) sorted by class, and where each pixel went."""
    pixels = torch.arange(size[0] * size[1]).view(size)
    parts = [pixels[i :: dilation[0], j :: dilation[1]] for i in range(dilation[0]) for j in range(dilation[1])]
    order = torch.cat([part.flatten() for part in parts])
    return [(part.shape[0], part.shape[1]) for part in parts], order.to(device), order.argsort().to(device)
