"""Residual blocks and resizing layers of the autoencoders (appendix B.1, figures 6 and 7)."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]


class SimpleResBlock(nn.Module):
    """Sim-VAE's residual block: x + conv(silu(conv(norm(x)))), 3x3, channels unchanged (figure 6)."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.silu(self.conv1(self.norm(x))))


class Downsample(nn.Module):
    """Stride-2 3x3 convolution that also changes the channels ('fused' resizing, figure 7)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class NearestUpsample(nn.Module):
    """Nearest x2, then a 3x3 convolution that also changes the channels (the paper's 'interpolate')."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class PixelShuffleUpsample(nn.Module):
    """3x3 convolution to four times the new channels, then pixel shuffle x2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4 * out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), 2)


UPSAMPLERS = {"nearest": NearestUpsample, "pixel_shuffle": PixelShuffleUpsample}
