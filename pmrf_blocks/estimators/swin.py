"""Swin transformer layers of SwinIR: attention in shifted windows (Liu et al., 2021). Tokens are (B, h, w, C)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from pmrf_blocks.estimators.norms import LayerNorm

BLOCKED = -100.0  # what the published code adds to a logit across regions


def relative_position_index(window: int) -> Tensor:
    """Row of the bias table for each pair of window positions, (window^2, window^2)."""
    axis = torch.arange(window)
    row, column = (grid.flatten() for grid in torch.meshgrid(axis, axis, indexing="ij"))
    offsets = [a[:, None] - a[None, :] + window - 1 for a in (row, column)]
    return offsets[0] * (2 * window - 1) + offsets[1]


def shift_mask(height: int, width: int, window: int, shift: int, device: torch.device | str = "cpu") -> Tensor:
    """What is added to the logits of a shifted grid, (windows, 1, window^2, window^2): 0, or BLOCKED between pixels
    that only the cyclic shift has brought together."""
    places = (torch.arange(size, device=device) for size in (height, width))
    rows, columns = (
        (place >= size - window).long() + (place >= size - shift).long() for place, size in zip(places, (height, width))
    )
    regions = to_windows((rows[:, None] * 3 + columns[None, :])[None, :, :, None], window)[..., 0]
    return torch.where(regions[:, None, :, None] == regions[:, None, None, :], 0.0, BLOCKED)


def to_windows(x: Tensor, window: int) -> Tensor:
    """(B, h, w, C) to (B * windows, window^2, C)."""
    return rearrange(x, "b (r u) (c v) d -> (b r c) (u v) d", u=window, v=window)


def from_windows(x: Tensor, window: int, height: int, width: int) -> Tensor:
    """The inverse of to_windows."""
    rows, columns = height // window, width // window
    return rearrange(x, "(b r c) (u v) d -> b (r u) (c v) d", r=rows, c=columns, u=window)


class WindowAttention(nn.Module):
    """Self-attention inside windows with a learned bias for each relative position and head."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.register_buffer("relative_position_index", relative_position_index(window), persistent=False)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x (B * windows, T, C); mask (windows, 1, T, T) or None."""
        q, k, v = rearrange(self.qkv(x), "b t (three n d) -> three b n t d", three=3, n=self.heads)
        bias = rearrange(self.relative_position_bias_table[self.relative_position_index], "q k n -> 1 n q k").to(
            q.dtype
        )
        if mask is not None:
            bias = repeat(bias + mask.to(bias), "w n q k -> (b w) n q k", b=x.shape[0] // mask.shape[0])
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(rearrange(y, "b n t d -> b t (n d)"))


class Mlp(nn.Module):
    """Two linear maps with GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); every second block shifts its windows by half of one."""

    def __init__(self, width: int, heads: int, window: int, mlp_ratio: float, *, shifted: bool) -> None:
        super().__init__()
        self.window, self.shift = window, window // 2 if shifted else 0
        self.norm1 = LayerNorm(width)
        self.attn = WindowAttention(width, heads, window)
        self.norm2 = LayerNorm(width)
        self.mlp = Mlp(width, int(width * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        y = self.norm1(x)
        mask = None
        if self.shift:
            y = y.roll((-self.shift, -self.shift), dims=(1, 2))
            mask = shift_mask(height, width, self.window, self.shift, x.device)
        y = from_windows(self.attn(to_windows(y, self.window), mask), self.window, height, width)
        if self.shift:
            y = y.roll((self.shift, self.shift), dims=(1, 2))
        x = x + y
        return x + self.mlp(self.norm2(x))


class SwinStage(nn.Module):
    """Residual Swin transformer block: `depth` SwinBlocks, a 3x3 convolution, and the stage's input added."""

    def __init__(self, width: int, depth: int, heads: int, window: int, mlp_ratio: float) -> None:
        super().__init__()
        blocks = [SwinBlock(width, heads, window, mlp_ratio, shifted=i % 2 == 1) for i in range(depth)]
        self.residual_group = nn.ModuleDict({"blocks": nn.ModuleList(blocks)})  # the published names of the weights
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for block in self.residual_group["blocks"].children():
            y = block(y)
        return x + rearrange(self.conv(rearrange(y, "b h w c -> b c h w")), "b c h w -> b h w c")
