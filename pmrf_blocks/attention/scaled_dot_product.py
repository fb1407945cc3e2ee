"""softmax(q k^T * scale) v, through torch's fused kernels where they are exact enough and differentiable enough."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Attention of (..., L, D) queries over (..., S, D) keys; `mask` is bool (True: sees), or
    is added to the logits, or is None.

    float64 takes the plain formula: it is what second derivatives and reference computations are done in, and the
    fused kernels have no second derivative.
    """
    if q.dtype == torch.float64:
        scores = torch.einsum("...ld,...sd->...ls", q * scale, k)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
        return scores.softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


def global_attention(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
    """Every pixel sees every pixel: (B, H, W, N, D) to the same shape; scale defaults to D ** -0.5."""
    if q.ndim != 5 or q.shape != k.shape or q.shape[:4] != v.shape[:4]:
        raise ValueError(
            f"q, k and v must be (B, H, W, N, D) alike; got {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}"
        )
    size = q.shape[1:3]
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    q, k, v = (x.flatten(1, 2).transpose(1, 2) for x in (q, k, v))
    return attend(q, k, v, None, scale).transpose(1, 2).unflatten(1, size)
