"""Resizing layers of the autoencoders (appendix B.1, figure 7), and the first and last convolution of residual ones."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import torch.nn.functional as F
from torch import Tensor, nn

from pmrf_blocks.autoencoders.locality import Locality, locality_of
from pmrf_blocks.autoencoders.shortcuts import channel_to_space, match_channels, space_to_channel

Resize = Callable[[int, int], nn.Module]  # of the channels before and after


class Downsample(nn.Module):
    """Stride-2 3x3 convolution: x (B, C, 2h, 2w) to (B, C', h, w).

    Arguments:
        asymmetric: pad to the right and below alone, as SD-VAE's does.
        residual: add space_to_channel(x) (DC-AE, section 3.1).
    """

    def __init__(self, in_channels: int, out_channels: int, *, asymmetric: bool, residual: bool = False) -> None:
        super().__init__()
        self.asymmetric, self.residual, self.out_channels = asymmetric, residual, out_channels
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=0 if asymmetric else 1)

    @property
    def locality(self) -> Locality:
        return Locality(halo=(0, 1) if self.asymmetric else (1, 0), scale=Fraction(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(F.pad(x, (0, 1, 0, 1)) if self.asymmetric else x)
        if not self.residual:
            return y
        height, width = (2 * size for size in y.shape[-2:])  # an asymmetric tile has one row and column more
        return y + space_to_channel(x[..., :height, :width], y.shape[1])


class NearestUpsample(nn.Module):
    """Nearest x2, then a 3x3 convolution (the paper's 'interpolate'): x (B, C, h, w) to (B, C', 2h, 2w).

    With `residual`, channel_to_space(x) is added.
    """

    def __init__(self, in_channels: int, out_channels: int, *, residual: bool = False) -> None:
        super().__init__()
        self.residual, self.out_channels = residual, out_channels
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    @property
    def locality(self) -> Locality:
        return Locality(scale=2).then(locality_of(self.conv))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return y + channel_to_space(x, y.shape[1]) if self.residual else y


class PixelShuffleUpsample(nn.Module):
    """3x3 convolution to four times the new channels, then pixel shuffle x2: x (B, C, h, w) to (B, C', 2h, 2w).

    With `residual`, channel_to_space(x) is added.
    """

    def __init__(self, in_channels: int, out_channels: int, *, residual: bool = False) -> None:
        super().__init__()
        self.residual, self.out_channels = residual, out_channels
        self.conv = nn.Conv2d(in_channels, 4 * out_channels, 3, padding=1)

    @property
    def locality(self) -> Locality:
        return locality_of(self.conv).then(Locality(scale=2))

    def forward(self, x: Tensor) -> Tensor:
        y = F.pixel_shuffle(self.conv(x), 2)
        return y + channel_to_space(x, y.shape[1]) if self.residual else y


class ResidualConv(nn.Conv2d):
    """A 3x3 convolution that keeps the resolution, beside a shortcut that only counts channels up or down.

    `carried` is how many of the output's first channels the shortcut reaches; the others see the convolution alone.
    """

    locality = Locality(halo=1)

    def __init__(self, in_channels: int, out_channels: int, *, carried: int | None = None) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)
        self.carried = out_channels if carried is None else carried

    def forward(self, x: Tensor) -> Tensor:
        shortcut = match_channels(x, self.carried)
        return super().forward(x) + F.pad(shortcut, (0, 0, 0, 0, 0, self.out_channels - self.carried))


UPSAMPLERS: dict[str, type[NearestUpsample] | type[PixelShuffleUpsample]] = {
    "nearest": NearestUpsample,
    "pixel_shuffle": PixelShuffleUpsample,
}
