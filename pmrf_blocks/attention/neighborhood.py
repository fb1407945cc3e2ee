"""neighborhood_attention_2d: NATTEN's semantics, any backend."""

from __future__ import annotations

import torch
from torch import Tensor

from pmrf_blocks.attention.backends import BACKENDS, resolve_backend
from pmrf_blocks.attention.scaled_dot_product import forward_mode, global_attention
from pmrf_blocks.attention.windows import Pair, as_pair, check_arguments


def neighborhood_attention_2d(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    kernel_size: int | Pair,
    *,
    dilation: int | Pair = 1,
    scale: float | None = None,
    backend: str = "auto",
) -> Tensor:
    """Attention of every pixel to the kernel_size window around it, (B, H, W, N, D) to the same shape.

    NATTEN's semantics (Hassani et al., 2023): at the border the window is shifted inside, so that every query sees
    kernel x kernel keys; with dilation the window takes every dilation-th pixel, of the query's own residue class.

    Arguments:
        q, k, v: (B, H, W, N, D), one floating dtype and device; v may have another D.
        kernel_size, dilation: int or (height, width); kernel_size * dilation must not exceed the grid.
        scale: factor on q k^T; D ** -0.5 when None.
        backend: 'auto', or a name of available_backends(). All give the same result up to rounding. Fused kernels
            take neither float64 nor forward-mode derivatives: there every backend but 'dense' is 'tiled'.

    Raises ValueError for arguments that do not fit, ImportError for a backend that cannot be had here.
    """
    kernel, step = as_pair("kernel_size", kernel_size), as_pair("dilation", dilation)
    check_arguments(q, k, v, kernel, step)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    chosen = BACKENDS[resolve_backend(backend, q.device)]
    if kernel == tuple(q.shape[1:3]):
        return global_attention(q, k, v, scale)
    if not chosen.general and (q.dtype == torch.float64 or forward_mode(q, k, v)):
        chosen = BACKENDS["tiled"]
    return chosen.run(q, k, v, kernel, step, scale)
