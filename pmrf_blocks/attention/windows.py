"""Which keys a query sees in neighborhood attention, and the checks on its arguments.

Masks are kept between calls, so they are computed in numpy: tensors made while torch.func transforms a function, or
in inference mode, would not serve outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from einops import repeat
from torch import Tensor

Pair = tuple[int, int]


class Axis(NamedTuple):
    """A window along one axis."""

    kernel: int
    dilation: int = 1
    stride: int = 1
    causal: bool = False


@dataclass(frozen=True)
class Window:
    """What a query of neighborhood attention sees; every pair is (height, width)."""

    kernel: Pair
    dilation: Pair = (1, 1)
    stride: Pair = (1, 1)
    causal: tuple[bool, bool] = (False, False)

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """Of rows, and of columns."""
        rows, columns = zip(self.kernel, self.dilation, self.stride, self.causal)
        return Axis(*rows), Axis(*columns)


def as_pair(name: str, value: int | Pair) -> Pair:
    """(height, width) of an int or a pair of ints, each at least 1."""
    pair = (value, value) if isinstance(value, int) else value
    if len(pair) != 2 or not all(isinstance(v, int) and v >= 1 for v in pair):
        raise ValueError(f"{name} must be a positive int or a pair of them; got {value!r}")
    return pair[0], pair[1]


def as_flags(name: str, value: bool | tuple[bool, bool]) -> tuple[bool, bool]:
    """(height, width) of a bool or a pair of them."""
    pair = (value, value) if isinstance(value, bool) else value
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(isinstance(v, bool) for v in pair):
        raise ValueError(f"{name} must be True, False or a pair of them; got {value!r}")
    return pair[0], pair[1]


def check_tensors(q: Tensor, k: Tensor, v: Tensor) -> None:
    """One clear ValueError for shapes, dtypes and devices that attention over pixels cannot take."""
    if q.ndim != 5:
        raise ValueError(f"q must be (B, H, W, N, D); got {tuple(q.shape)}")
    given = f"got {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}"
    if k.ndim != 5 or v.ndim != 5 or not (q.shape[:3] == k.shape[:3] == v.shape[:3]) or q.shape[4] != k.shape[4]:
        raise ValueError(f"q and k must have one shape, and v the same but for D and heads; {given}")
    if k.shape[3] != v.shape[3] or not k.shape[3] or q.shape[3] % k.shape[3]:
        raise ValueError(f"k and v must have as many heads, N or a divisor of N; {given}")
    if not (q.dtype == k.dtype == v.dtype) or not q.is_floating_point():
        raise ValueError(f"q, k and v must have one floating dtype; got {q.dtype}, {k.dtype}, {v.dtype}")
    if not (q.device == k.device == v.device):
        raise ValueError(f"q, k and v must be on one device; got {q.device}, {k.device}, {v.device}")


def check_window(size: Pair, window: Window) -> None:
    """ValueError for a window that does not fit a grid of `size`."""
    for name, length, axis in zip(("height", "width"), size, window.axes):
        if axis.kernel * axis.dilation > length:
            raise ValueError(
                f"kernel_size * dilation must not exceed the grid: {axis.kernel} * {axis.dilation} > {name} {length}"
            )
        if axis.stride > axis.kernel:
            raise ValueError(f"stride must not exceed kernel_size: {axis.stride} > {axis.kernel} along the {name}")


def repeat_heads(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """k and v with a head for each of q's: in groups of grouped-query attention, successive queries share one."""
    count = q.shape[3] // k.shape[3]
    if count == 1:
        return k, v
    return repeat(k, "b h w m d -> b h w (m g) d", g=count), repeat(v, "b h w m d -> b h w (m g) d", g=count)


def seen_keys(size: int, axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """The first key that each query of an axis without dilation sees, and one past the last.

    NATTEN's rule (Hassani et al., 2023, 2025). Queries of `stride` see what the leader of their group sees. Its window
    is centred, one further to the left for an even kernel, and shifted inside at the border, so that every query sees
    exactly `kernel` keys. A causal window ends at the query itself and is cut off at the border; the leader of a group,
    its last query there, its middle one else, says where it begins.
    """
    query = np.arange(size)
    leader = query // axis.stride * axis.stride + (axis.stride - 1 if axis.causal else axis.stride // 2)
    leader = leader.clip(max=size - 1)
    if axis.causal:
        return (leader - axis.kernel + 1).clip(min=0), query + 1
    first = (leader - axis.kernel // 2).clip(0, size - axis.kernel)
    return first, first + axis.kernel


@lru_cache(maxsize=64)
def axis_tiles(size: int, axis: Axis, tile: int) -> tuple[tuple[int, ...], np.ndarray]:
    """Tiles of an axis without dilation: where each tile's block of keys starts, and which of the block's keys its
    queries see.

    Blocks are of one length, as many keys as any tile sees (tile + kernel - 1 in a wide grid). The mask is
    (tiles, tile, block), bool; queries beyond the end repeat the last one.
    """
    count = -(-size // tile)
    query = np.arange(count * tile).clip(max=size - 1).reshape(count, tile)
    first, last = (bound[query] for bound in seen_keys(size, axis))
    block = int((last.max(1) - first.min(1)).max())
    starts = first.min(1).clip(max=size - block)
    key = (starts[:, None] + np.arange(block))[:, None]
    return tuple(map(int, starts)), (key >= first[..., None]) & (key < last[..., None])
