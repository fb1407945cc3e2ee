"""Neighborhood attention in pure PyTorch, exact, linear in pixels: tiles of queries against the block that they see.

A tile of T x T queries sees at most (T + kernel - 1)^2 keys. One row of tiles at a time is given to scaled dot-product
attention, with the mask that cuts each query's window out of the block. Without gradients its blocks are gathered
then, so that memory grows with the width of the image, not with its area. Where gradients are recorded, the backward
pass keeps all blocks anyway: they are gathered at once, for each gather would cost the backward pass a zeroed image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from pmrf_blocks.attention.dense import dense_attention
from pmrf_blocks.attention.scaled_dot_product import attend
from pmrf_blocks.attention.windows import Pair, axis_windows

TILE = 8
WHOLE = 16  # up to this side an axis is one tile: gathering would cost more than it saves


def tiled_attention(q: Tensor, k: Tensor, v: Tensor, kernel: Pair, dilation: Pair, scale: float) -> Tensor:
    """As neighborhood_attention_2d, arguments checked already."""
    if dilation != (1, 1):
        return _dilated(q, k, v, kernel, dilation, scale)
    height, width = q.shape[1:3]
    if height <= WHOLE and width <= WHOLE:
        return dense_attention(q, k, v, kernel, dilation, scale)
    tile_h, tile_w = (size if size <= WHOLE else TILE for size in (height, width))
    plan = _plan(height, width, kernel, (tile_h, tile_w), q.dtype, q.device)
    recorded = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    keys, values = (_blocks(x, plan, at_once=recorded) for x in (k, v))
    rows = []
    for part, key, value, mask in zip(q.split(tile_h, 1), keys, values, plan.masks):
        queries = _tiles(part, tile_w)
        mask = mask[:, : queries.shape[2] * tile_w]  # the last row of tiles may hold fewer rows
        rows.append(_attend_tiles(queries, key, value, mask, scale)[:, :, :width])
    return torch.cat(rows, 1)


@dataclass(frozen=True)
class Plan:
    """What depends on shapes alone: for each row of tiles, which pixels its blocks hold, (tiles * Kh * Kw,), and what
    is added to the logits, (tiles, T * T, Kh * Kw): 0 or minus infinity."""

    tiles: int
    pixels: Tensor
    masks: tuple[Tensor, ...]


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # what is kept must serve training too, whoever asked first
def _plan(height: int, width: int, kernel: Pair, tile: Pair, dtype: torch.dtype, device: torch.device) -> Plan:
    row_starts, row_masks = axis_windows(height, kernel[0], tile[0])
    column_starts, column_mask = axis_windows(width, kernel[1], tile[1])
    columns = np.array(column_starts)[:, None] + np.arange(column_mask.shape[2])
    rows = np.array(row_starts)[:, None] + np.arange(row_masks.shape[2])
    pixels = torch.from_numpy((rows[:, None, :, None] * width + columns[None, :, None, :]).reshape(len(rows), -1))
    masks: dict[bytes, Tensor] = {}  # all rows of tiles but those at the border share one
    names = [seen.tobytes() for seen in row_masks]
    for name, seen in zip(names, row_masks):
        if name not in masks:
            both = seen[None, :, None, :, None] & column_mask[:, None, :, None, :]
            both = both.reshape(len(column_mask), tile[0] * tile[1], -1)
            masks[name] = torch.from_numpy(np.where(both, np.float32(0), np.float32("-inf"))).to(device, dtype)
    return Plan(len(columns), pixels.to(device), tuple(masks[name] for name in names))


def _tiles(x: Tensor, tile: int) -> Tensor:
    """(B, r, W, N, D) to (B, tiles, r, T, N, D); missing columns of the last tile repeat the last one."""
    missing = -x.shape[2] % tile
    if missing:
        x = torch.cat((x, x[:, :, -1:].expand(-1, -1, missing, -1, -1)), 2)
    return x.unflatten(2, (-1, tile)).transpose(1, 2)


def _blocks(x: Tensor, plan: Plan, at_once: bool) -> Iterator[Tensor]:
    """The blocks of each row of tiles, (B, tiles, Kh * Kw, N, D), from x (B, H, W, N, D)."""
    pixels = x.flatten(1, 2)
    if at_once:
        gathered = pixels.index_select(1, plan.pixels.flatten())
        parts = iter(gathered.split(plan.pixels.shape[1], 1))
    else:
        parts = (pixels.index_select(1, row) for row in plan.pixels)
    return (part.unflatten(1, (plan.tiles, -1)) for part in parts)


def _attend_tiles(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Attention of every tile to its block: (B, tiles, r, T, N, D) to (B, r, tiles * T, N, D)."""
    batch, tiles, rows, tile = queries.shape[:4]
    q = queries.reshape(batch * tiles, rows * tile, *queries.shape[4:]).transpose(1, 2)
    k, v = (x.flatten(0, 1).transpose(1, 2) for x in (keys, values))
    mask = mask.expand(batch, *mask.shape).flatten(0, 1)[:, None]
    out = attend(q, k, v, mask, scale).transpose(1, 2)
    return out.unflatten(0, (batch, tiles)).unflatten(2, (rows, tile)).transpose(1, 2).flatten(2, 3)


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
