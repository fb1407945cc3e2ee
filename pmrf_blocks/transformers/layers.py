"""Small layers of the hourglass transformer. Tokens are (B, H, W, C) throughout."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from pmrf_blocks.transformers.groups import decayed, mapping

EPS = 1e-6
Projection = TypeVar("Projection", nn.Linear, nn.Conv2d)


def rms_norm(x: Tensor, scale: Tensor, eps: float = EPS) -> Tensor:
    """x / rms(x over the last axis) * scale, computed in float32 at least and returned in x's dtype.

    Arguments:
        x: (..., C).
        scale: broadcasts with x: (C,), or (B, 1, 1, C) for each of the images (B, H, W, C).
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    factor = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return (wide * (factor * scale.to(wide.dtype))).to(x.dtype)


class RMSNorm(nn.Module):
    """Root-mean-square norm with a learned scale: (..., width) to the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.scale)


class AdaRMSNorm(nn.Module):
    """RMS norm of tokens (B, H, W, width) whose scale is 1 + a linear map of the condition (B, cond_width), zero at
    first."""

    def __init__(self, width: int, cond_width: int) -> None:
        super().__init__()
        self.linear = mapping(decayed(zero_init(nn.Linear(cond_width, width, bias=False))))

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        return rms_norm(x, rearrange(self.linear(cond) + 1.0, "b c -> b 1 1 c"))


class FourierFeatures(nn.Module):
    """cos and sin of fixed random frequencies: (B, in_features) to (B, width). A buffer, drawn from a fixed seed."""

    weight: Tensor

    def __init__(self, in_features: int, width: int) -> None:
        super().__init__()
        weight = torch.empty(width // 2, in_features)
        if not weight.is_meta:  # drawn on the CPU, whose numbers every device then has
            weight = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0), device="cpu")
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        angle = 2.0 * math.pi * (x.to(self.weight.dtype) @ self.weight.T)
        return torch.cat((angle.cos(), angle.sin()), -1)


class DepthwiseConv(nn.Conv2d):
    """3x3 convolution of each channel by itself, on tokens (B, H, W, C); starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=channels)
        nn.init.dirac_(self.weight, groups=channels)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return rearrange(super().forward(rearrange(x, "b h w c -> b c h w")), "b c h w -> b h w c")


class FeedForward(nn.Module):
    """x + down(dropout(a * gelu(gate))), (a, gate) = up(norm(x)); GEGLU (Shazeer, 2020).

    `cond_width` None takes a plain RMS norm (as the mapping network does), else AdaRMSNorm. `depthwise` puts a
    depth-wise convolution between the up projection and the gate, as Latent-PMRF does. `bias`: of the projections.
    """

    def __init__(
        self, width: int, hidden: int, cond_width: int | None = None, *, depthwise: bool = False, dropout: float = 0.0,
        bias: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.norm = RMSNorm(width) if cond_width is None else AdaRMSNorm(width, cond_width)
        self.up_proj = decayed(nn.Linear(width, 2 * hidden, bias=bias))
        self.conv = decayed(DepthwiseConv(2 * hidden)) if depthwise else None
        self.dropout = nn.Dropout(dropout)
        self.down_proj = decayed(zero_init(nn.Linear(hidden, width, bias=bias)))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        inner = self.up_proj(self.norm(x) if cond is None else self.norm(x, cond))
        value, gate = (inner if self.conv is None else self.conv(inner)).chunk(2, -1)
        return x + self.down_proj(self.dropout(value * F.gelu(gate)))


class MappingNetwork(nn.Module):
    """Condition vector (B, width) from the sum of the embeddings: norm, feed-forward blocks, norm."""

    def __init__(self, depth: int, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.in_norm = RMSNorm(width)
        self.blocks = nn.ModuleList(FeedForward(width, hidden, dropout=dropout) for _ in range(depth))
        self.out_norm = RMSNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.in_norm(x)
        for block in self.blocks:
            x = block(x)
        return self.out_norm(x)


def zero_init(layer: Projection) -> Projection:
    """The layer with zero weights, and biases: what it feeds starts unchanged."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
