"""Normalisation layers of the autoencoders, chosen by name."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6
GROUPS = 32


class ChannelLayerNorm(nn.LayerNorm):
    """Layer norm over the channels of every pixel of (B, C, H, W) (appendix B.1, 'pixel-wise layer norm').

    No statistic crosses pixels, which keeps feature maps balanced and lets images be tiled exactly.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        # With channels_last memory both permutes are views and the norm reads rows that lie together.
        y = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return y.permute(0, 3, 1, 2)


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm of SD-VAE: 32 groups, or as many as divide a narrower layer."""
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels, eps=EPS)


NORMS = {"layer": ChannelLayerNorm, "group": group_norm}
