"""neighborhood_attention_2d and the choice of its backend."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

from pmrf_blocks.attention.dense import dense_attention
from pmrf_blocks.attention.flex import flex_attention_2d
from pmrf_blocks.attention.scaled_dot_product import global_attention
from pmrf_blocks.attention.tiled import tiled_attention
from pmrf_blocks.attention.windows import Pair, as_pair, check_arguments


def natten_attention(q: Tensor, k: Tensor, v: Tensor, kernel: Pair, dilation: Pair, scale: float) -> Tensor:
    from natten import na2d

    return na2d(q, k, v, kernel_size=kernel, dilation=dilation, scale=scale)


BACKENDS: dict[str, Callable[[Tensor, Tensor, Tensor, Pair, Pair, float], Tensor]] = {
    "tiled": tiled_attention,
    "dense": dense_attention,
    "natten": natten_attention,
    "flex": flex_attention_2d,
}


@lru_cache(maxsize=1)
def available_backends() -> dict[str, str | None]:
    """Every backend by name: None where it works on this machine, else the reason why not. Probed once."""
    cuda = torch.cuda.is_available()
    natten = None
    if find_spec("natten") is None:
        natten = "the package natten is not installed (pip install natten)"
    elif not cuda:
        natten = "natten has no fast kernel without CUDA; ask for it by name to use its slow one"
    flex = None
    if not cuda:
        flex = "FlexAttention is compiled for CUDA; ask for it by name to compile it for this processor"
    return {"tiled": None, "dense": None, "natten": natten, "flex": flex}


def resolve_backend(name: str, device: torch.device | str = "cpu") -> str:
    """The backend that 'auto' stands for on a device; any other name is checked and returned."""
    if name == "auto":
        if torch.device(device).type == "cuda" and available_backends()["natten"] is None:
            return "natten"
        return "tiled"
    if name not in BACKENDS:
        raise ValueError(f"backend must be one of 'auto', {', '.join(map(repr, BACKENDS))}; got {name!r}")
    if name == "natten" and find_spec("natten") is None:
        raise ImportError(f"backend 'natten': {available_backends()['natten']}")
    return name


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
        backend: 'auto', or a name of available_backends(). All give the same result up to rounding.

    Raises ValueError for arguments that do not fit, ImportError for a backend whose package is missing.
    """
    kernel, step = as_pair("kernel_size", kernel_size), as_pair("dilation", dilation)
    check_arguments(q, k, v, kernel, step)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    if kernel == tuple(q.shape[1:3]):
        return global_attention(q, k, v, scale)
    return BACKENDS[resolve_backend(backend, q.device)](q, k, v, kernel, step, scale)
