"""Which keys a query sees in neighborhood attention, and the checks on its arguments.

Masks are kept between calls, so they are computed in numpy: tensors made while torch.func transforms a function, or
in inference mode, would not serve outside.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from torch import Tensor

Pair = tuple[int, int]


def as_pair(name: str, value: int | Pair) -> Pair:
    """(height, width) of an int or a pair of ints, each at least 1."""
    pair = (value, value) if isinstance(value, int) else value
    if len(pair) != 2 or not all(isinstance(v, int) and v >= 1 for v in pair):
        raise ValueError(f"{name} must be a positive int or a pair of them; got {value!r}")
    return pair[0], pair[1]


def check_tensors(q: Tensor, k: Tensor, v: Tensor) -> None:
    """One clear ValueError for shapes, dtypes and devices that attention over pixels cannot take."""
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


def check_arguments(q: Tensor, k: Tensor, v: Tensor, kernel: Pair, dilation: Pair) -> None:
    """As check_tensors(), and for windows that do not fit the grid."""
    check_tensors(q, k, v)
    for axis, size, width, step in zip(("height", "width"), q.shape[1:3], kernel, dilation):
        if width * step > size:
            raise ValueError(f"kernel_size * dilation must not exceed the grid: {width} * {step} > {axis} {size}")


def window_start(position: np.ndarray, size: int, kernel: int) -> np.ndarray:
    """First key of the window of each query position: centred, and shifted inside at the border.

    NATTEN's rule (Hassani et al., 2023): every query sees exactly `kernel` keys. For an even kernel the window
    reaches one further to the left.
    """
    return (position - kernel // 2).clip(0, size - kernel)


@lru_cache(maxsize=64)
def axis_windows(size: int, kernel: int, tile: int) -> tuple[tuple[int, ...], np.ndarray]:
    """Tiles of one axis: where each tile's block of keys starts, and which of the block's keys its queries see.

    The block holds min(tile + kernel - 1, size) keys. The mask is (tiles, tile, block), bool; queries beyond the end
    repeat the last one.
    """
    block = min(tile + kernel - 1, size)
    count = -(-size // tile)
    starts = tuple(max(0, min(i * tile - kernel // 2, size - block)) for i in range(count))
    query = np.arange(count * tile).clip(max=size - 1).reshape(count, tile, 1)
    first = window_start(query, size, kernel)
    key = np.array(starts).reshape(count, 1, 1) + np.arange(block)
    return starts, (key >= first) & (key < first + kernel)
