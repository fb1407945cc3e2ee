"""Layers of one's own for the tests: what a researcher's module would hold."""

import torch
import torch.nn.functional as F
from torch import nn

from pmrf_blocks.autoencoders import Locality
from pmrf_blocks.autoencoders.norms import ChannelLayerNorm


class Scale(nn.Module):
    """A norm that sees one pixel, and says so."""

    locality = Locality()

    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(channels, 1, 1) + 0.5)

    def forward(self, x):
        return self.scale * x / (1 + x.abs().mean(1, keepdim=True))


class Silent(Scale):
    """The same, and says nothing: its forward() is its own."""

    def forward(self, x):
        return super().forward(x)


class Whole(ChannelLayerNorm):
    """Sees the whole image; its parent sees one pixel."""

    def forward(self, x):
        return super().forward(x) / (1 + x.std(dim=(2, 3), keepdim=True))


class Mixer(nn.Module):
    """A middle layer of a 5x5 window."""

    locality = Locality(halo=2)

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 5, padding=2)

    def forward(self, x):
        return x + torch.tanh(self.conv(x))


def enlarge(in_channels, out_channels):
    """Made of layers that are known."""
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(in_channels, out_channels, 5, padding=2), nn.SiLU())


def reduce(in_channels, out_channels):
    return nn.Conv2d(in_channels, out_channels, 2, stride=2)


class Bilinear(nn.Module):
    """An enlarging layer that states nothing."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2, mode="bilinear"))


class Liar(Bilinear):
    """Enlarges, and says that it does not."""

    locality = Locality(scale=2)

    def forward(self, x):
        return self.conv(x)


class Quantised(nn.Module):
    """A layer without weights of torch's kind."""

    locality = Locality(halo=1)

    def __init__(self, conv):
        super().__init__()
        self.out_channels = conv.out_channels
        self.hidden = [conv.weight.detach(), conv.bias.detach()]

    def forward(self, x):
        return F.conv2d(x, *self.hidden, padding=1)
