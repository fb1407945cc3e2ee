"""neighborhood_attention_2d: NATTEN's semantics, any backend."""

from __future__ import annotations

import torch
from torch import Tensor

from pmrf_blocks.attention.backends import BACKENDS, Run, resolve_backend
from pmrf_blocks.attention.scaled_dot_product import forward_mode, global_attention
from pmrf_blocks.attention.windows import Pair, Window, as_flags, as_pair, check_tensors, check_window, repeat_heads


def neighborhood_attention_2d(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    kernel_size: int | Pair,
    *,
    stride: int | Pair = 1,
    dilation: int | Pair = 1,
    is_causal: bool | tuple[bool, bool] = False,
    scale: float | None = None,
    backend: str | Run = "auto",
) -> Tensor:
    """Attention of every pixel to the kernel_size window around it.

    NATTEN's semantics (Hassani et al., 2023, 2025): at the border the window is shifted inside, so that every query
    sees kernel x kernel keys; with dilation the window takes every dilation-th pixel, of the query's own residue class.

    Arguments:
        q, k, v: (B, H, W, N, D), one floating dtype and device; k and v may have fewer heads, a divisor of N, which
            groups of query heads share, and v another D.
        kernel_size, dilation: int or (height, width); kernel_size * dilation must not exceed the grid.
        stride: int or (height, width), at most kernel_size: so many neighbouring queries see one window, that of their
            leader.
        is_causal: bool or (along the height, along the width): no query sees a key after it.
        scale: factor on q k^T; D ** -0.5 when None.
        backend: 'auto', or a name of available_backends(). All give the same result up to rounding. Fused kernels
            take neither float64 nor forward-mode derivatives: there every backend but 'dense' is 'tiled'. Or a
            function (q, k, v, window, scale) of one's own, which is called as it is.

    Returns (B, H, W, N, D) with the D of v. Raises ValueError for arguments that do not fit, ImportError for a backend
    that cannot be had here.

    Examples:
        >>> q, k, v = torch.rand(3, 1, 12, 9, 2, 16)  # (B, H, W, heads, head_dim)
        >>> neighborhood_attention_2d(q, k, v, kernel_size=7).shape
        torch.Size([1, 12, 9, 2, 16])
        >>> wide = neighborhood_attention_2d(q, k, v, kernel_size=3, dilation=(4, 3))
        >>> torch.allclose(wide, neighborhood_attention_2d(q, k, v, 3, dilation=(4, 3), backend="dense"), atol=1e-6)
        True
    """
    window = Window(
        as_pair("kernel_size", kernel_size),
        as_pair("dilation", dilation),
        as_pair("stride", stride),
        as_flags("is_causal", is_causal),
    )
    check_tensors(q, k, v)
    check_window((q.shape[1], q.shape[2]), window)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    k, v = repeat_heads(q, k, v)
    if callable(backend):
        return backend(q, k, v, window, scale)
    chosen = BACKENDS[resolve_backend(backend, q.device)]
    if window.kernel == tuple(q.shape[1:3]) and not any(window.causal):
        return global_attention(q, k, v, scale)
    if not chosen.general and (q.dtype == torch.float64 or forward_mode(q, k, v)):
        chosen = BACKENDS["tiled"]
    return chosen.run(q, k, v, window, scale)
