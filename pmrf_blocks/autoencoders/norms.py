"""Normalisation layers of the autoencoders, chosen by name."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from pmrf_blocks.kernels import channel_layer_norm, fits, is_available, layer_norm_reference

EPS = 1e-6


class ChannelLayerNorm(nn.LayerNorm):
    """Layer norm over the channels of every pixel of (B, C, H, W) (appendix B.1, 'pixel-wise layer norm').

    No statistic crosses pixels, which keeps feature maps balanced and lets images be tiled exactly. On CUDA it is
    one kernel, SiLU included.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS)
        self.fused = is_available()

    def forward(self, x: Tensor, silu: bool = False) -> Tensor:
        """x (B, C, H, W) normalised, then through SiLU where asked."""
        norm = channel_layer_norm if self.fused and fits(x, self.weight, self.bias) else layer_norm_reference
        return norm(x, self.weight, self.bias, self.eps, silu)


def norm_silu(norm: nn.Module, x: Tensor) -> Tensor:
    """silu(norm(x)), in one kernel where there is one."""
    return norm(x, silu=True) if isinstance(norm, ChannelLayerNorm) else F.silu(norm(x))


def layer_norm(channels: int, groups: int) -> nn.Module:
    return ChannelLayerNorm(channels)


def group_norm(channels: int, groups: int) -> nn.Module:
    """Group norm of SD-VAE: its groups, or as many as divide a narrower layer."""
    return nn.GroupNorm(math.gcd(groups, channels), channels, eps=EPS)


NORMS: dict[str, Callable[[int, int], nn.Module]] = {"layer": layer_norm, "group": group_norm}
