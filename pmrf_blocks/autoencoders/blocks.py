"""Residual blocks of the autoencoders (appendix B.1, figure 6), and the attention of SD-VAE's middle.

Each takes and gives feature maps (B, C, H, W). A `norm` is made for a number of channels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from pmrf_blocks.autoencoders.locality import Locality, in_sequence, locality_of, widest
from pmrf_blocks.autoencoders.norms import Norm

Block = Callable[[int, int, Norm], nn.Module]  # of the channels before and after, and the norm


class ResBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: x itself where the channels stay, else a 1x1 convolution of it."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def shortcut(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) with as many channels as the block's output."""
        return self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x


def _locality(block: ResBlock) -> Locality:
    """Of a block's layers one after another, beside the shortcut."""
    layers = dict(block.named_children())
    beside = layers.pop("conv_shortcut", nn.Identity())
    return widest(in_sequence(layers.values()), locality_of(beside))


class SimpleResBlock(ResBlock):
    """Sim-VAE's: skip(x) + conv(silu(conv(norm(x)))) (figure 6)."""

    locality = property(_locality)

    def __init__(self, in_channels: int, out_channels: int, norm: Norm) -> None:
        super().__init__(in_channels, out_channels)
        self.norm = norm(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) to (B, C', H, W)."""
        return self.shortcut(x) + self.conv2(F.silu(self.conv1(self.norm(x))))


class SDResBlock(ResBlock):
    """SD-VAE's: skip(x) + conv(silu(norm(conv(silu(norm(x))))))."""

    locality = property(_locality)

    def __init__(self, in_channels: int, out_channels: int, norm: Norm) -> None:
        super().__init__(in_channels, out_channels)
        self.norm1 = norm(in_channels)
        self.norm2 = norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) to (B, C', H, W)."""
        y = self.conv1(F.silu(self.norm1(x)))
        return self.shortcut(x) + self.conv2(F.silu(self.norm2(y)))


class PixelAttention(nn.Module):
    """SD-VAE's self-attention: every pixel sees every pixel, one head as wide as the features; x is added."""

    locality = Locality(whole="self-attention sees the whole image")

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.group_norm = norm(channels)  # the published name, whatever the norm
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """x + out(attention(norm(x))) of x (B, C, H, W)."""
        tokens = rearrange(self.group_norm(x), "b c h w -> b (h w) c")
        q, k, v = (rearrange(project(tokens), "b n c -> b 1 n c") for project in (self.to_q, self.to_k, self.to_v))
        y = self.to_out[0](rearrange(F.scaled_dot_product_attention(q, k, v), "b 1 n c -> b n c"))
        return x + rearrange(y, "b (h w) c -> b c h w", h=x.shape[-2])


BLOCKS: dict[str, Block] = {"simple": SimpleResBlock, "sd": SDResBlock}
