"""Normalisation layers of the autoencoders, chosen by name."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmrf_blocks.autoencoders.locality import PIXEL

EPS = 1e-6

Norm = Callable[[int], nn.Module]  # of the number of channels


class ChannelLayerNorm(nn.LayerNorm):
    """Layer norm over the channels of every pixel (appendix B.1, 'pixel-wise layer norm').

    No statistic crosses pixels, which keeps feature maps balanced and lets images be tiled exactly.
    """

    locality = PIXEL

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(x - mean) / sqrt(variance + eps) * weight + bias over the channels of x (B, C, H, W), in x's dtype."""
        # With channels_last memory both permutes are views and the norm reads rows that lie together.
        if x.requires_grad and not x.is_meta and torch.is_autocast_enabled(x.device.type):
            x = x.float()  # a CPU would sum the gradients of weight and bias in bfloat16, far short of what they are
        y = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return y.permute(0, 3, 1, 2)


def layer_norm(channels: int, groups: int) -> nn.Module:
    """Sim-VAE's."""
    return ChannelLayerNorm(channels)


def group_norm(channels: int, groups: int) -> nn.Module:
    """SD-VAE's: of its number of groups, or as many as divide a narrower layer."""
    return nn.GroupNorm(math.gcd(groups, channels), channels, eps=EPS)


NORMS: dict[str, Callable[[int, int], nn.Module]] = {"layer": layer_norm, "group": group_norm}
