"""softmax(q k^T * scale) v, through torch's fused kernels where they are exact enough and differentiable enough."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from pmrf_blocks.attention.windows import check_tensors, repeat_heads

GLOBAL_BACKENDS = ("sdpa", "xformers")


def forward_mode(*tensors: Tensor) -> bool:
    """Whether one of the tensors carries a forward-mode tangent. Compiled code never asks: it has no forward mode."""
    return not torch.compiler.is_compiling() and any(unpack_dual(x).tangent is not None for x in tensors)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Attention of (..., L, D) queries over (..., S, D) keys; `mask` is bool (True: sees), or
    is added to the logits, or is None.

    float64 and forward-mode inputs take the plain formula: fused kernels have no forward mode and no second
    derivative. For second derivatives in float32, call it and its derivatives under
    torch.nn.attention.sdpa_kernel(SDPBackend.MATH).
    """
    if q.dtype == torch.float64 or forward_mode(q, k, v):
        scores = torch.einsum("...ld,...sd->...ls", q * scale, k)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
        return scores.softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


@lru_cache(maxsize=1)
def xformers_missing() -> str | None:
    """Why global attention cannot go through xformers here, or None. Probed once."""
    if find_spec("xformers") is None:
        return "the package xformers is not installed (pip install pmrf-blocks[xformers])"
    if not torch.cuda.is_available():
        return "xformers has kernels for CUDA alone"
    try:
        import xformers.ops  # noqa: F401
    except Exception as error:  # a build for another torch or CUDA fails in many ways
        return f"the package xformers is installed but does not load: {error}"
    return None


def resolve_global_backend(name: str) -> str:
    """The name of a backend of global attention, checked; 'auto' is 'sdpa'. ValueError or ImportError otherwise.

    Examples:
        >>> resolve_global_backend("auto")
        'sdpa'
    """
    if name == "auto":
        return "sdpa"
    if name not in GLOBAL_BACKENDS:
        raise ValueError(f"global_backend must be one of 'auto', {', '.join(map(repr, GLOBAL_BACKENDS))}; got {name!r}")
    reason = xformers_missing() if name == "xformers" else None
    if reason is not None:
        raise ImportError(f"global_backend 'xformers': {reason}")
    return name


def global_attention(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None, *, backend: str = "auto") -> Tensor:
    """softmax(q k^T * scale) v: every pixel sees every pixel (Vaswani et al., 2017).

    Arguments:
        q, k, v: (B, H, W, N, D), one floating dtype and device; k and v may have fewer heads, a divisor of N, which
            groups of query heads share, and v another D.
        scale: factor on q k^T; D ** -0.5 when None.
        backend: 'sdpa' (torch's own kernels; what 'auto' takes) or 'xformers' (its memory-efficient attention, on CUDA;
            float64 and forward-mode inputs take the plain formula all the same).

    Returns (B, H, W, N, D) with the D of v. Raises ValueError for arguments that do not fit, ImportError for a backend
    that cannot be had here.

    Examples:
        >>> q, k, v = torch.rand(3, 1, 6, 5, 2, 16)
        >>> global_attention(q, k, v).shape
        torch.Size([1, 6, 5, 2, 16])
    """
    check_tensors(q, k, v)
    backend = resolve_global_backend(backend)
    height = q.shape[1]
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    k, v = repeat_heads(q, k, v)
    if backend == "xformers" and q.dtype != torch.float64 and not forward_mode(q, k, v):
        from xformers.ops import memory_efficient_attention

        q, k, v = (rearrange(x, "b h w n d -> b (h w) n d") for x in (q, k, v))
        return rearrange(memory_efficient_attention(q, k, v, scale=scale), "b (h w) n d -> b h w n d", h=height)
    q, k, v = (rearrange(x, "b h w n d -> b n (h w) d") for x in (q, k, v))
    return rearrange(attend(q, k, v, None, scale), "b n (h w) d -> b h w n d", h=height)
