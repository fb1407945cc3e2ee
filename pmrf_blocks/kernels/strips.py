"""A large feature map by strips of its rows: what a layer makes of a strip is small, and its memory is used again.

Fresh memory for a whole map costs more than reading and writing it: the system clears each page of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Span = tuple[int, int]  # first and one past the last row, or column

LARGE = 2**24  # bytes: from about here on malloc hands freed blocks back, and the next one is cleared again
STRIP = 2**23  # bytes: within a CPU's last cache, and few enough strips that convolutions stay efficient


def is_large(x: Tensor) -> bool:
    """Whether strips pay. What is traced or compiled may serve other sizes, and is never large."""
    return not torch.jit.is_tracing() and not torch.compiler.is_compiling() and _bytes(x) >= LARGE


def is_standard(conv: nn.Module) -> bool:
    """Whether this is the convolution that convolve_rows() computes: plain, 3x3, of stride 1 and padding 1."""
    return (
        type(conv) is nn.Conv2d
        and conv.kernel_size == (3, 3)
        and conv.stride == conv.dilation == conv.padding == (1, 1)
        and conv.groups == 1
        and conv.padding_mode == "zeros"
    )


def strips(x: Tensor, overhang: int = 0) -> Iterator[Span]:
    """Rows [first, last) of a map (B, C, H, ...), STRIP bytes at a time; all of one that is not large.

    None but the last has fewer rows than `overhang`.
    """
    height = x.shape[2]
    rows = max(height * STRIP // _bytes(x), overhang, 1) if is_large(x) else height
    for first in range(0, height, rows):
        yield first, min(first + rows, height)


def small_batches(x: Tensor) -> tuple[Tensor, ...]:
    """Views of as many images as make a strip, at least one: rows of one image lie together, rows of a batch do not."""
    return x.split(max(len(x) * STRIP // _bytes(x), 1))


def convolve_rows(
    x: Tensor, weight: Tensor, bias: Tensor | None, rows: Span, *, start: int = 0, height: int | None = None
) -> Tensor:
    """Rows [rows[0], rows[1]) of a convolution of padding 1 on an image `height` rows high, of which x (B, C, H, W)
    holds those from `start` on: all of them, unless given, else at least those that these rows depend on."""
    (first, last), height = rows, x.shape[2] if height is None else height
    top, bottom = max(first - 1, 0), min(last + weight.shape[2] - 2, height)
    border = int(top == 0 or bottom == height)
    y = F.conv2d(x[:, :, top - start : bottom - start], weight, bias, padding=(border, 1))
    above = first - 1 - top + border
    return y[:, :, above : above + last - first]


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 3x3 convolution of padding 1 by strips, for an x with gaps between its rows: torch copies that first."""
    pieces = [convolve_rows(x, weight, bias, rows) for rows in strips(x)]
    return torch.cat(pieces, 2) if len(pieces) > 1 else pieces[0]


def _bytes(x: Tensor) -> int:
    return x.numel() * x.element_size()
