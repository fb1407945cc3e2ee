"""DINOv2's vision transformer (Oquab et al., 2023), in the keys of dinov2_vit{s,b,l}14_pretrain.pth."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmrf_blocks.metrics.networks.resizing import resize_bytes, to_bytes

SIDE, HEAD_WIDTH = 224, 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OFFSET = 0.1  # what the published code adds to the grid when it interpolates positions


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, N, L, D) each
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = Attention(width, heads), Mlp(width)
        self.ls1, self.ls2 = LayerScale(width), LayerScale(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Patches(nn.Module):
    """Non-overlapping patches, (B, h * w, width)."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class DINOv2(nn.Module):
    """Normalised class token (B, width) of images (B, 3, H, W) in [0, 1]: the features of FD-DINOv2.

    Images are rounded to 8 bits, brought to 224x224 (bicubic, antialiased, as Stein et al., 2024, do with Pillow) and
    normalised as for ImageNet. Widths of 384, 768 and 1024 are the published small, base and large networks; the
    paper's metrics take the large one. Features are not brought to unit length.
    """

    def __init__(self, width: int = 1024, depth: int = 24, heads: int = 16, grid: int = 37, patch: int = 14) -> None:
        super().__init__()
        self.grid, self.patch = grid, patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # of training; in the published files, used nowhere here
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid * grid, width))
        self.patch_embed = Patches(width, patch)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.eval()

    @classmethod
    def shaped_like(cls, state: Mapping[str, Tensor]) -> DINOv2:
        """The network whose state has the shapes of `state`; ValueError for one that is no DINOv2 of this kind."""
        if "pos_embed" not in state or "blocks.0.mlp.fc1.weight" not in state:
            raise ValueError("not the state of a DINOv2 with plain feed-forward blocks (small, base or large)")
        width = state["pos_embed"].shape[2]
        depth = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks."))
        grid = round((state["pos_embed"].shape[1] - 1) ** 0.5)
        return cls(width, depth, max(1, width // HEAD_WIDTH), grid, state["patch_embed.proj.weight"].shape[2])

    def forward(self, x: Tensor) -> Tensor:
        x = resize_bytes(to_bytes(x), SIDE, mode="bicubic", antialias=True) / 255.0
        return self.features((x - x.new_tensor(MEAN).view(3, 1, 1)) / x.new_tensor(STD).view(3, 1, 1))

    def features(self, x: Tensor) -> Tensor:
        """Of normalised images whose sides are multiples of the patch."""
        height, width = (side // self.patch for side in x.shape[2:])
        tokens = torch.cat((self.cls_token.expand(len(x), -1, -1), self.patch_embed(x)), 1)
        tokens = tokens + self._positions(height, width)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens[:, 0])

    def _positions(self, height: int, width: int) -> Tensor:
        """Position embedding of a grid of height x width patches, interpolated as the published code does it."""
        if (height, width) == (self.grid, self.grid):
            return self.pos_embed
        token, patches = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        patches = patches.unflatten(1, (self.grid, self.grid)).permute(0, 3, 1, 2)
        scale = ((height + OFFSET) / self.grid, (width + OFFSET) / self.grid)
        patches = F.interpolate(patches, scale_factor=scale, mode="bicubic", recompute_scale_factor=False)
        if patches.shape[2:] != (height, width):
            raise RuntimeError(f"positions came out as {tuple(patches.shape[2:])} for a grid of {height}x{width}")
        return torch.cat((token, patches.flatten(2).transpose(1, 2)), 1)
