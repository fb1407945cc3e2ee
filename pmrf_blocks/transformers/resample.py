"""Between the levels of the hourglass, and at its ends: merging patches of tokens into one, and splitting them again.

Each by a linear map (HDiT) or by a convolution, which sees neighbours too (the variants of Latent-PMRF's release).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from pmrf_blocks.attention.windows import Pair
from pmrf_blocks.transformers.groups import decayed
from pmrf_blocks.transformers.layers import zero_init

WAYS = ("linear", "conv")


class TokenMerge(nn.Module):
    """A patch of p x q tokens to one by a linear map: (B, H, W, C) to (B, H / p, W / q, C')."""

    def __init__(self, in_width: int, out_width: int, patch: Pair = (2, 2), *, bias: bool = False) -> None:
        super().__init__()
        self.patch = patch
        self.proj = decayed(nn.Linear(in_width * math.prod(patch), out_width, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(rearrange(x, "b (h p) (w q) c -> b h w (p q c)", p=self.patch[0], q=self.patch[1]))


class ConvTokenMerge(nn.Module):
    """The same by a strided convolution whose sides are the next odd numbers above the patch's: 3x3 for 2x2 tokens."""

    def __init__(self, in_width: int, out_width: int, patch: Pair = (2, 2), *, bias: bool = False) -> None:
        super().__init__()
        kernel = (patch[0] + 1 + patch[0] % 2, patch[1] + 1 + patch[1] % 2)
        self.conv = decayed(nn.Conv2d(in_width, out_width, kernel, stride=patch, padding=1, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        return rearrange(self.conv(rearrange(x, "b h w c -> b c h w")), "b c h w -> b h w c")


class TokenSplit(nn.Module):
    """One token to 2 x 2 by a linear map, then a learned mixture with the skip (half and half at first)."""

    def __init__(self, in_width: int, out_width: int, *, bias: bool = False) -> None:
        super().__init__()
        self.proj = decayed(nn.Linear(in_width, 4 * out_width, bias=bias))
        self.fac = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = rearrange(self.proj(x), "b h w (p q c) -> b (h p) (w q) c", p=2, q=2)
        return torch.lerp(skip, x.to(skip.dtype), self.fac.to(skip.dtype))


class ConvTokenSplit(nn.Module):
    """Nearest x2, then a 3x3 convolution to the new width, then the same mixture with the skip (Latent-PMRF)."""

    def __init__(self, in_width: int, out_width: int, *, bias: bool = False) -> None:
        super().__init__()
        self.conv = decayed(nn.Conv2d(in_width, out_width, 3, padding=1, bias=bias))
        self.fac = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.conv(F.interpolate(rearrange(x, "b h w c -> b c h w"), scale_factor=2.0, mode="nearest"))
        return torch.lerp(skip, rearrange(x, "b c h w -> b h w c").to(skip.dtype), self.fac.to(skip.dtype))


class PatchOut(nn.Module):
    """Tokens back to patches of pixels, without skip; `zero` at first, so that the velocity starts at zero."""

    def __init__(self, width: int, channels: int, patch: Pair, *, bias: bool = False, zero: bool = True) -> None:
        super().__init__()
        self.patch = patch
        proj = nn.Linear(width, channels * math.prod(patch), bias=bias)
        self.proj = decayed(zero_init(proj) if zero else proj)

    def forward(self, x: Tensor) -> Tensor:
        return rearrange(self.proj(x), "b h w (p q c) -> b (h p) (w q) c", p=self.patch[0], q=self.patch[1])


class ConvPatchOut(nn.Module):
    """The same by a 3x3 convolution of the tokens."""

    def __init__(self, width: int, channels: int, patch: Pair, *, bias: bool = False, zero: bool = True) -> None:
        super().__init__()
        self.patch = patch
        conv = nn.Conv2d(width, channels * math.prod(patch), 3, padding=1, bias=bias)
        self.conv = decayed(zero_init(conv) if zero else conv)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(rearrange(x, "b h w c -> b c h w"))
        return rearrange(x, "b (p q c) h w -> b (h p) (w q) c", p=self.patch[0], q=self.patch[1])


MERGES: dict[str, type[TokenMerge | ConvTokenMerge]] = {"linear": TokenMerge, "conv": ConvTokenMerge}
SPLITS: dict[str, type[TokenSplit | ConvTokenSplit]] = {"linear": TokenSplit, "conv": ConvTokenSplit}
PATCH_OUTS: dict[str, type[PatchOut | ConvPatchOut]] = {"linear": PatchOut, "conv": ConvPatchOut}
