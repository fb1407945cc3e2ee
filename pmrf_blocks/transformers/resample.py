"""Between the levels of the hourglass: merging 2x2 tokens into one, and splitting them again beside the skip."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from pmrf_blocks.attention.windows import Pair
from pmrf_blocks.transformers.groups import decayed
from pmrf_blocks.transformers.layers import zero_init


class TokenMerge(nn.Module):
    """A patch of p x q tokens to one by a linear map: (B, H, W, C) to (B, H / p, W / q, C')."""

    def __init__(self, in_width: int, out_width: int, patch: Pair = (2, 2)) -> None:
        super().__init__()
        self.patch = patch
        self.proj = decayed(nn.Linear(in_width * math.prod(patch), out_width, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(rearrange(x, "b (h p) (w q) c -> b h w (p q c)", p=self.patch[0], q=self.patch[1]))


class TokenSplit(nn.Module):
    """One token to 2 x 2 by a linear map, then a learned mixture with the skip (half and half at first)."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.proj = decayed(nn.Linear(in_width, 4 * out_width, bias=False))
        self.fac = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = rearrange(self.proj(x), "b h w (p q c) -> b (h p) (w q) c", p=2, q=2)
        return torch.lerp(skip, x.to(skip.dtype), self.fac.to(skip.dtype))


class ConvTokenSplit(nn.Module):
    """Nearest x2, then a 3x3 convolution to the new width, then the same mixture with the skip (Latent-PMRF)."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.conv = decayed(nn.Conv2d(in_width, out_width, 3, padding=1, bias=False))
        self.fac = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.conv(F.interpolate(rearrange(x, "b h w c -> b c h w"), scale_factor=2.0, mode="nearest"))
        return torch.lerp(skip, rearrange(x, "b c h w -> b h w c").to(skip.dtype), self.fac.to(skip.dtype))


class PatchOut(nn.Module):
    """Tokens back to patches of pixels, without skip; zero at first, so that the velocity starts at zero."""

    def __init__(self, width: int, channels: int, patch: Pair) -> None:
        super().__init__()
        self.patch = patch
        self.proj = decayed(zero_init(nn.Linear(width, channels * math.prod(patch), bias=False)))

    def forward(self, x: Tensor) -> Tensor:
        return rearrange(self.proj(x), "b h w (p q c) -> b (h p) (w q) c", p=self.patch[0], q=self.patch[1])
