"""Neighborhood attention in pure PyTorch, exact, linear in pixels: tiles of queries against the block that they see.

A tile of T x T queries sees at most (T + kernel - 1)^2 keys. One row of tiles at a time is gathered and given to
scaled dot-product attention with the mask that cuts each query's window out of the block, so that memory grows
with the width of the image, not with its area.
"""

from __future__ import annotations

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
    rows = []
    for i, (start, mask) in enumerate(plan.rows):
        queries = _tiles(q[:, i * tile_h : (i + 1) * tile_h], tile_w)
        keys, values = (_blocks(x[:, start : start + plan.block_height], plan.columns) for x in (k, v))
        mask = mask[:, : queries.shape[2] * tile_w]  # the last row of tiles may hold fewer rows
        rows.append(_attend_tiles(queries, keys, values, mask, scale)[:, :, :width])
    return torch.cat(rows, 1)


@dataclass(frozen=True)
class Plan:
    """What depends on shapes alone: `columns` of each tile's block (tiles, Kw), and for each row of tiles the first
    row of its block and what is added to the logits, (tiles, T * T, Kh * Kw): 0 or minus infinity."""

    block_height: int
    columns: Tensor
    rows: tuple[tuple[int, Tensor], ...]


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # what is kept must serve training too, whoever asked first
def _plan(height: int, width: int, kernel: Pair, tile: Pair, dtype: torch.dtype, device: torch.device) -> Plan:
    row_starts, row_masks = axis_windows(height, kernel[0], tile[0])
    column_starts, column_mask = axis_windows(width, kernel[1], tile[1])
    columns = torch.from_numpy(np.array(column_starts)[:, None] + np.arange(column_mask.shape[2]))
    masks: dict[bytes, Tensor] = {}  # all rows of tiles but those at the border share one
    rows = []
    for start, seen in zip(row_starts, row_masks):
        name = seen.tobytes()
        if name not in masks:
            both = seen[None, :, None, :, None] & column_mask[:, None, :, None, :]
            both = both.reshape(len(column_mask), tile[0] * tile[1], -1)
            masks[name] = torch.from_numpy(np.where(both, np.float32(0), np.float32("-inf"))).to(device, dtype)
        rows.append((start, masks[name]))
    return Plan(row_masks.shape[2], columns.to(device), tuple(rows))


def _tiles(x: Tensor, tile: int) -> Tensor:
    """(B, r, W, N, D) to (B, tiles, r, T, N, D); missing columns of the last tile repeat the last one."""
    missing = -x.shape[2] % tile
    if missing:
        x = torch.cat((x, x[:, :, -1:].expand(-1, -1, missing, -1, -1)), 2)
    return x.unflatten(2, (-1, tile)).transpose(1, 2)


def _blocks(x: Tensor, gather: Tensor) -> Tensor:
    """(B, Kh, W, N, D) to the block of every tile, (B, tiles, Kh * Kw, N, D), in one copy."""
    height, width = x.shape[1:3]
    index = torch.arange(height, device=x.device).view(1, -1, 1) * width + gather[:, None, :]
    return x.flatten(1, 2).index_select(1, index.flatten()).unflatten(1, (len(gather), -1))


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
    out = q.new_empty((*q.shape[:4], v.shape[4]))
    for i in range(dilation[0]):
        for j in range(dilation[1]):
            part = (slice(None), slice(i, None, dilation[0]), slice(j, None, dilation[1]))
            out[part] = tiled_attention(q[part], k[part], v[part], kernel, (1, 1), scale)
    return out
