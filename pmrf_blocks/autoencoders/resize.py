"""Resizing layers of the autoencoders (appendix B.1, figure 7)."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmrf_blocks.autoencoders.strips import convolve_rows, strips
from pmrf_blocks.kernels import is_plain

FOLDED_PIXELS = 512


class Downsample(nn.Module):
    """Stride-2 3x3 convolution. SD-VAE's is `asymmetric`: it pads to the right and below alone."""

    def __init__(self, in_channels: int, out_channels: int, *, asymmetric: bool, residual: bool = False) -> None:
        super().__init__()
        self.asymmetric, self.residual = asymmetric, residual
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=0 if asymmetric else 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(F.pad(x, (0, 1, 0, 1)) if self.asymmetric else x)
        if not self.residual:
            return y
        height, width = (2 * size for size in y.shape[-2:])  # an asymmetric tile has one row and column more
        return y + space_to_channel(x[..., :height, :width], y.shape[1])


class NearestUpsample(nn.Module):
    """Nearest x2, then a 3x3 convolution (the paper's 'interpolate')."""

    def __init__(self, in_channels: int, out_channels: int, *, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled() and folds(x, self.conv):
            y = convolve_doubled(x, self.conv)
        else:
            y = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return y + channel_to_space(x, y.shape[1]) if self.residual else y


def folds(x: Tensor, conv: nn.Module) -> bool:
    """Whether convolve_doubled() is the same and faster: it was timed on a processor (1.5 to 1.9 times as fast from
    32x32 on, slower below), and sees a plain convolution's weights alone, not what wraps or hooks it."""
    large = x.device.type == "cpu" and x.shape[-2] * x.shape[-1] >= FOLDED_PIXELS
    return large and type(conv) is nn.Conv2d and is_plain(conv)


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


class PixelShuffleUpsample(nn.Module):
    """3x3 convolution to four times the new channels, then pixel shuffle x2."""

    def __init__(self, in_channels: int, out_channels: int, *, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.conv = nn.Conv2d(in_channels, 4 * out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.pixel_shuffle(self.conv(x), 2)
        return y + channel_to_space(x, y.shape[1]) if self.residual else y


class ResidualConv(nn.Conv2d):
    """A 3x3 convolution that keeps the resolution, beside a shortcut that only counts channels up or down.

    `carried` is how many of the output's first channels the shortcut reaches; the others see the convolution alone.
    """

    def __init__(self, in_channels: int, out_channels: int, *, carried: int | None = None) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)
        self.carried = out_channels if carried is None else carried

    def forward(self, x: Tensor) -> Tensor:
        shortcut = match_channels(x, self.carried)
        return super().forward(x) + F.pad(shortcut, (0, 0, 0, 0, 0, self.out_channels - self.carried))


def match_channels(x: Tensor, channels: int) -> Tensor:
    """x (B, C, H, W) with `channels` channels and no parameter: each repeated where there are to be more, else means
    of groups that lie side by side."""
    have = x.shape[1]
    if channels >= have:
        return x[:, [i * have // channels for i in range(channels)]]
    if have % channels == 0:
        return x.unflatten(1, (channels, -1)).mean(2)
    bounds = [i * have // channels for i in range(channels + 1)]
    return torch.stack([x[:, low:high].mean(1) for low, high in itertools.pairwise(bounds)], 1)


def space_to_channel(x: Tensor, channels: int) -> Tensor:
    """(B, C, 2h, 2w) to (B, channels, h, w): the four pixels of a square side by side, then means (DC-AE, section 3.1:
    Chen et al., 2025, https://arxiv.org/abs/2410.10733)."""
    return match_channels(F.pixel_unshuffle(x, 2), channels)


def channel_to_space(x: Tensor, channels: int) -> Tensor:
    """(B, C, h, w) to (B, channels, 2h, 2w), the way back: repeated channels, dealt out to the four pixels."""
    return F.pixel_shuffle(match_channels(x, 4 * channels), 2)


UPSAMPLERS: dict[str, type[NearestUpsample] | type[PixelShuffleUpsample]] = {
    "nearest": NearestUpsample,
    "pixel_shuffle": PixelShuffleUpsample,
}
