"""One transformer layer: self-attention of the kind that its level names, then feed-forward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from pmrf_blocks.attention import (
    AxialRoPE,
    global_attention,
    neighborhood_attention_2d,
    rotate,
    shifted_window_attention_2d,
)
from pmrf_blocks.attention.backends import Run
from pmrf_blocks.transformers.groups import decayed
from pmrf_blocks.transformers.layers import EPS, AdaRMSNorm, DepthwiseConv, FeedForward, zero_init

ATTENTIONS = ("neighborhood", "global", "shifted_window", "none")
COSINE_INIT = 10.0
Attention = Callable[[Tensor, Tensor, Tensor, float], Tensor]  # q, k, v (B, H, W, N, D), scale


@dataclass(frozen=True)
class Level:
    """One resolution of the hourglass.

    Arguments:
        width: channels of a token.
        depth: layers, on the way down and again on the way up (once at the bottom).
        attention: 'neighborhood', 'global', 'shifted_window', 'none' (feed-forward only), or a function of one's own,
            (q, k, v, scale) to the same shape, of q, k, v (B, H, W, N, D) and the factor of q k^T.
        kernel_size, dilation: of neighborhood attention. Along an axis where the grid is smaller than
            kernel_size * dilation the window is the whole axis, without dilation: it cannot reach further.
        window_size: side of the windows of shifted-window attention; every second layer shifts them by half of it.
        head_dim: channels of a head, a multiple of 8; width must be a multiple of it.
        ff_ratio: hidden width of the feed-forward layers over width.
        ff_width: hidden width itself, of any size; None leaves it to ff_ratio.
        dropout: share of features that training drops before each output projection (k-diffusion).

    Raises ValueError for values that do not fit.

    Examples:
        >>> Level(width=128, depth=2, attention="global").head_dim
        64
    """

    width: int
    depth: int
    attention: str | Attention = "neighborhood"
    kernel_size: int = 7
    dilation: int = 1
    head_dim: int = 64
    ff_ratio: int = 3
    window_size: int = 8
    ff_width: int | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not callable(self.attention) and self.attention not in ATTENTIONS:
            raise ValueError(
                f"attention must be one of {', '.join(map(repr, ATTENTIONS))}, or a function; got {self.attention!r}"
            )
        for name in ("width", "depth", "kernel_size", "dilation", "head_dim", "ff_ratio", "window_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.attention != "none" and (self.width % self.head_dim or self.head_dim % 8):
            raise ValueError(
                f"width must be a multiple of head_dim, and head_dim of 8; got {self.width}, {self.head_dim}"
            )
        if self.ff_width is not None and self.ff_width < 1:
            raise ValueError(f"ff_width must be at least 1; got {self.ff_width}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1); got {self.dropout}")

    @property
    def hidden(self) -> int:
        """Hidden width of the feed-forward layers."""
        return self.ff_ratio * self.width if self.ff_width is None else self.ff_width


def cosine_scaled(x: Tensor, scale: Tensor) -> Tensor:
    """x (B, H, W, N, D) at unit length times sqrt(scale) of its head, (N,) and positive: the products of queries and
    keys become scale * cosine (k-diffusion). Computed and returned in float32 at least."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    length = torch.rsqrt(wide.square().sum(-1, keepdim=True) + EPS)
    return wide * (length * scale.to(wide.dtype).sqrt()[:, None])


class SelfAttention(nn.Module):
    """x + out(dropout(attention(rope(q), rope(k), v))), (q, k, v) = qkv(norm(x)).

    `cosine`: q and k are brought to unit length and a learned scale of each head, 10 at first, takes the place of
    head_dim ** -0.5 (PMRF). `depthwise`: a depth-wise convolution follows the qkv projection (Latent-PMRF).
    `shift`: of shifted windows. `bias`: of the projections. `backend` and `global_backend` may be changed at any time.
    """

    def __init__(
        self, level: Level, cond_width: int, *, cosine: bool, depthwise: bool, shift: int = 0, bias: bool = False
    ) -> None:
        super().__init__()
        self.level, self.shift = level, shift
        self.backend: str | Run = "auto"
        self.global_backend = "auto"
        self.heads = level.width // level.head_dim
        self.norm = AdaRMSNorm(level.width, cond_width)
        self.qkv_proj = decayed(nn.Linear(level.width, 3 * level.width, bias=bias))
        self.conv = decayed(DepthwiseConv(3 * level.width)) if depthwise else None
        self.scale = nn.Parameter(torch.full((self.heads,), COSINE_INIT)) if cosine else None
        self.pos_emb = AxialRoPE(level.head_dim, self.heads)
        self.dropout = nn.Dropout(level.dropout)
        self.out_proj = decayed(zero_init(nn.Linear(level.width, level.width, bias=bias)))

    def forward(self, x: Tensor, positions: Tensor, cond: Tensor) -> Tensor:
        q, k, v = self.project(x, cond)
        if self.scale is not None:
            q, k = cosine_scaled(q, self.scale), cosine_scaled(k, self.scale)
        cos, sin = self.pos_emb.angles(positions)
        y = self.attend(rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype), v)
        return x + self.out_proj(self.dropout(rearrange(y, "b h w n d -> b h w (n d)")))

    def project(self, x: Tensor, cond: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v (B, H, W, N, D) of tokens (B, H, W, width), in memory of their own."""
        qkv = self.qkv_proj(self.norm(x, cond))
        if self.conv is not None:
            qkv = self.conv(qkv)
        q, k, v = rearrange(qkv, "b h w (three n d) -> three b h w n d", three=3, n=self.heads)
        return q, k, v

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The level's attention of placed queries and keys, (B, H, W, N, D) to the same shape."""
        scale = 1.0 if self.scale is not None else self.level.head_dim**-0.5
        if callable(self.level.attention):
            return self.level.attention(q, k, v, scale)
        if self.level.attention == "global":
            return global_attention(q, k, v, scale, backend=self.global_backend)
        if self.level.attention == "shifted_window":
            return shifted_window_attention_2d(q, k, v, self.level.window_size, shift=self.shift, scale=scale)
        size, reach = q.shape[1:3], self.level.kernel_size * self.level.dilation
        kernel = tuple(self.level.kernel_size if reach <= side else side for side in size)
        dilation = tuple(self.level.dilation if reach <= side else 1 for side in size)
        return neighborhood_attention_2d(
            q, k, v, (kernel[0], kernel[1]), dilation=(dilation[0], dilation[1]), scale=scale, backend=self.backend
        )


class TransformerLayer(nn.Module):
    """Self-attention (unless the level has none), then feed-forward; both residual.

    `index`: of the layer in its level, on the way down first; shifted windows are shifted where it is odd.
    """

    def __init__(
        self, level: Level, cond_width: int, *, cosine: bool, depthwise: bool, index: int = 0, bias: bool = False
    ) -> None:
        super().__init__()
        self.self_attn = None
        if level.attention != "none":
            shift = level.window_size // 2 if index % 2 else 0
            options = {"cosine": cosine, "depthwise": depthwise, "bias": bias}
            self.self_attn = SelfAttention(level, cond_width, shift=shift, **options)
        self.ff = FeedForward(
            level.width, level.hidden, cond_width, depthwise=depthwise, dropout=level.dropout, bias=bias
        )

    def forward(self, x: Tensor, positions: Tensor, cond: Tensor) -> Tensor:
        if self.self_attn is not None:
            x = self.self_attn(x, positions, cond)
        return self.ff(x, cond)
