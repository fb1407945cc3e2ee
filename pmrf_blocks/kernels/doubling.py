"""Nearest x2 and the 3x3 convolution after it, as one convolution of the small image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pmrf_blocks.kernels.reuse import is_plain
from pmrf_blocks.kernels.strips import convolve_rows, is_standard, strips

FOLDED_PIXELS = 512


def folds(x: Tensor, conv: nn.Module) -> bool:
    """Whether convolve_doubled() is the same and faster: it was timed on a CPU (1.5 to 1.9 times as fast from 32x32
    on, slower below), and sees a plain convolution's weights alone, not what wraps or hooks it."""
    large = x.device.type == "cpu" and x.shape[-2] * x.shape[-1] >= FOLDED_PIXELS
    return large and is_standard(conv) and is_plain(conv)


def convolve_doubled(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """conv(nearest x2 of x) of a 3x3 convolution with padding 1, in 4/9 of its multiplications.

    Of the three taps two fall on the same pixel of x, which one depends on whether the output pixel is even or odd: so
    their weights are added first, and each of the four kinds of output pixels is a 2x2 convolution of x. Equal up to
    rounding. Not for training: the strided writes are slow to differentiate.
    """
    weights, bias = _merged_taps(conv.weight), None if conv.bias is None else conv.bias.repeat(4)
    channels, (batch, _, height, width) = conv.out_channels, x.shape
    if x.stride(1) == 1:  # channels_last
        out = x.new_empty(batch, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)
    else:
        out, weights = x.new_empty(batch, channels, 2 * height, 2 * width), weights.contiguous()
    places = out.unflatten(3, (width, 2)).unflatten(2, (height, 2))
    for first, last in strips(places):  # rows of x
        rows = last - first
        kinds = convolve_rows(x, weights, bias, (first, last + 1))
        for kind, part in enumerate(kinds.unflatten(1, (4, -1)).unbind(1)):  # (B, C, rows + 1, W + 1)
            row, column = divmod(kind, 2)
            places[:, :, first:last, row, :, column] = part[:, :, row : row + rows, column : column + width]
        del kinds, part  # before the next strip
    return out


def _merged_taps(weight: Tensor) -> Tensor:
    """(C', C, 3, 3) to (4 C', C, 2, 2) in channels_last memory: for even rows' even and odd columns, then odd rows'."""

    def merged(taps: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        before, at, after = taps.unbind(dim)
        return torch.stack((before, at + after), dim), torch.stack((before + at, after), dim)

    taps = (weight if weight.dtype.itemsize >= 4 else weight.float()).permute(0, 2, 3, 1)  # channels lie together
    kinds = torch.cat([both for rows in merged(taps, 1) for both in merged(rows, 2)])
    return kinds.to(weight.dtype).permute(0, 3, 1, 2)
