"""Axial rotary position embedding, as k-diffusion's image transformer v2 has it (Crowson et al., 2024)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def axial_positions(
    height: int, width: int, *, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Pixel centres (H, W, 2), rows first: the longer side spans [-1, 1], the shorter its share of that (k-diffusion).

    Raises ValueError for a side below 1.

    Examples:
        >>> axial_positions(2, 3)[0]  # (y, x) of the upper row; the longer side spans [-1, 1]
        tensor([[-0.3333, -0.6667],
                [-0.3333,  0.0000],
                [-0.3333,  0.6667]])
    """
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be at least 1; got {height}, {width}")
    longer = max(height, width)
    axes = [(2.0 * torch.arange(size, device=device, dtype=dtype) + 1.0 - size) / longer for size in (height, width)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


class AxialRoPE(nn.Module):
    """Rotates half of each head's width by angles that grow with the pixel's row and column.

    Frequencies are log-spaced from pi to 10 pi, other ones for every head: (N, head_dim // 8), buffer `freqs`. A
    quarter of the head's width turns against the next quarter; the other half is left alone. Dot products of a
    rotated query and key depend on the difference of their positions only. Raises ValueError for a head_dim that is no
    multiple of 8.

    Examples:
        >>> rope = AxialRoPE(head_dim=16, heads=2)
        >>> rope(torch.rand(1, 4, 5, 2, 16), axial_positions(4, 5)).shape  # (B, H, W, heads, head_dim)
        torch.Size([1, 4, 5, 2, 16])
    """

    freqs: Tensor

    def __init__(self, head_dim: int, heads: int) -> None:
        super().__init__()
        if head_dim % 8 or head_dim < 8:
            raise ValueError(f"head_dim must be a multiple of 8; got {head_dim}")
        per_head = head_dim // 8
        exponents = torch.linspace(math.log(math.pi), math.log(10.0 * math.pi), heads * per_head + 1)[:-1]
        self.register_buffer("freqs", exponents.exp().view(per_head, heads).T.contiguous())

    def angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine (H, W, N, head_dim // 4), for `rotate` of any number of tensors on the same grid."""
        positions = positions.to(torch.promote_types(positions.dtype, torch.float32))
        freqs = self.freqs.to(positions.dtype)
        theta = torch.cat([positions[..., None, axis : axis + 1] * freqs for axis in (0, 1)], -1)
        return theta.cos(), theta.sin()

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """x (B, H, W, N, D) rotated for positions (H, W, 2); computed in float32 at least, returned in x's dtype."""
        return rotate(x, *self.angles(positions))

    def extra_repr(self) -> str:
        return f"heads={self.freqs.shape[0]}, frequencies={self.freqs.shape[1]}"


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the first two blocks of x's last axis, each as wide as cos, against each other (k-diffusion).

    Arguments:
        x: (B, H, W, N, D), of any values.
        cos, sin: (H, W, N, d) with 2 d <= D; what lies behind the first 2 d stays as it is.

    Computed in the dtype that x and cos share, returned in x's, (B, H, W, N, D).

    Examples:
        >>> cos, sin = AxialRoPE(head_dim=16, heads=2).angles(axial_positions(4, 5))
        >>> q, k = torch.rand(2, 1, 4, 5, 2, 16)
        >>> q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        >>> q.shape
        torch.Size([1, 4, 5, 2, 16])
    """
    width = cos.shape[-1]
    a, b, rest = x.split((width, width, x.shape[-1] - 2 * width), -1)
    return torch.cat(((a * cos - b * sin).to(x.dtype), (b * cos + a * sin).to(x.dtype), rest), -1)
