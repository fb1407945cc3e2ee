"""Which keys a query sees in neighborhood attention, and the checks on its arguments."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

Pair = tuple[int, int]


def as_pair(name: str, value: int | Pair) -> Pair:
    """(height, width) of an int or a pair of ints, each at least 1."""
    pair = (value, value) if isinstance(value, int) else value
    if len(pair) != 2 or not all(isinstance(v, int) and v >= 1 for v in pair):
        raise ValueError(f"{name} must be a positive int or a pair of them; got {value!r}")
    return pair[0], pair[1]


def check_arguments(q: Tensor, k: Tensor, v: Tensor, kernel: Pair, dilation: Pair) -> None:
    """One clear ValueError for shapes, dtypes, devices and windows that neighborhood attention cannot take."""
    if q.ndim != 5:
        raise ValueError(f"q must be (B, H, W, N, D); got {tuple(q.shape)}")
    if q.shape != k.shape or q.shape[:4] != v.shape[:4] or v.ndim != 5:
        raise ValueError(
            f"q and k must have one shape, and v the same but for D; got {tuple(q.shape)}, {tuple(k.shape)}, "
            f"{tuple(v.shape)}"
        )
    if not (q.dtype == k.dtype == v.dtype) or not q.is_floating_point():
        raise ValueError(f"q, k and v must have one floating dtype; got {q.dtype}, {k.dtype}, {v.dtype}")
    if not (q.device == k.device == v.device):
        raise ValueError(f"q, k and v must be on one device; got {q.device}, {k.device}, {v.device}")
    for axis, size, width, step in zip(("height", "width"), q.shape[1:3], kernel, dilation):
        if width * step > size:
            raise ValueError(f"kernel_size * dilation must not exceed the grid: {width} * {step} > {axis} {size}")


def window_start(position: Tensor, size: int, kernel: int) -> Tensor:
    """First key of the window of each query position: centred, and shifted inside at the border.

    NATTEN's rule (Hassani et al., 2023): every query sees exactly `kernel` keys. For an even kernel the window
    reaches one further to the left.
    """
    return (position - kernel // 2).clamp(0, size - kernel)


@lru_cache(maxsize=64)
def axis_windows(size: int, kernel: int, tile: int) -> tuple[tuple[int, ...], Tensor]:
    """Tiles of one axis: where each tile's block of keys starts, and which of the block's keys its queries see.

    The block holds min(tile + kernel - 1, size) keys. The mask is (tiles, tile, block), bool, on the CPU; queries
    beyond the end repeat the last one.
    """
    block = min(tile + kernel - 1, size)
    count = -(-size // tile)
    starts = tuple(max(0, min(i * tile - kernel // 2, size - block)) for i in range(count))
    query = torch.arange(count * tile).clamp(max=size - 1).view(count, tile, 1)
    first = window_start(query, size, kernel)
    key = torch.tensor(starts).view(count, 1, 1) + torch.arange(block)
    return starts, (key >= first) & (key < first + kernel)
