"""Residual blocks of the autoencoders (appendix B.1, figure 6), and the attention of SD-VAE's middle."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmrf_blocks.autoencoders.norms import norm_silu

Norm = Callable[[int], nn.Module]


class SimpleResBlock(nn.Module):
    """Sim-VAE's: skip(x) + conv(silu(conv(norm(x)))); the skip is x itself where the channels stay (figure 6)."""

    def __init__(self, in_channels: int, out_channels: int, norm: Norm) -> None:
        super().__init__()
        self.norm = norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self.conv1(self.norm(x)), inplace=not torch.is_grad_enabled())
        return _with_skip(self, x, self.conv2(y))


class SDResBlock(nn.Module):
    """SD-VAE's: skip(x) + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1 skip where the channels change."""

    def __init__(self, in_channels: int, out_channels: int, norm: Norm) -> None:
        super().__init__()
        self.norm1 = norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(norm_silu(self.norm1, x))
        return _with_skip(self, x, self.conv2(norm_silu(self.norm2, y)))


class PixelAttention(nn.Module):
    """SD-VAE's self-attention: every pixel sees every pixel, one head as wide as the features; x is added."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.group_norm = norm(channels)  # the published name, whatever the norm
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)  # (B, H W, C)
        q, k, v = (project(tokens)[:, None] for project in (self.to_q, self.to_k, self.to_v))
        y = self.to_out[0](F.scaled_dot_product_attention(q, k, v)[:, 0])
        return x + y.transpose(1, 2).unflatten(2, x.shape[-2:])


def _with_skip(block: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """skip(x) + y; in y's memory where no gradient needs it: fresh memory for a large map takes longer than the sum."""
    shortcut = getattr(block, "conv_shortcut", None)
    skip = x if shortcut is None else shortcut(x)
    return skip + y if torch.is_grad_enabled() else y.add_(skip)


BLOCKS: dict[str, type[SimpleResBlock] | type[SDResBlock]] = {"simple": SimpleResBlock, "sd": SDResBlock}
