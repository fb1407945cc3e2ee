"""Resizing layers of the autoencoders (appendix B.1, figure 7)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Downsample(nn.Module):
    """Stride-2 3x3 convolution. SD-VAE's is `asymmetric`: it pads to the right and below alone."""

    def __init__(self, in_channels: int, out_channels: int, *, asymmetric: bool) -> None:
        super().__init__()
        self.asymmetric = asymmetric
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=0 if asymmetric else 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.asymmetric else x)


class NearestUpsample(nn.Module):
    """Nearest x2, then a 3x3 convolution (the paper's 'interpolate')."""

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


UPSAMPLERS: dict[str, type[NearestUpsample] | type[PixelShuffleUpsample]] = {
    "nearest": NearestUpsample,
    "pixel_shuffle": PixelShuffleUpsample,
}
