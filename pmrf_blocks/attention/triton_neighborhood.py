"""Neighborhood attention in the project's own Triton kernel: the choice on CUDA where natten is not installed."""

from __future__ import annotations

from importlib.util import find_spec

from torch import Tensor

from pmrf_blocks.attention.tiled import tiled_attention
from pmrf_blocks.attention.windows import Pair
from pmrf_blocks.kernels import neighborhood
from pmrf_blocks.kernels.neighborhood import WIDEST_HEAD


def triton_attention(q: Tensor, k: Tensor, v: Tensor, kernel: Pair, dilation: Pair, scale: float) -> Tensor:
    """Second derivatives go through the eager formula. Heads wider than 128 are tiled."""
    if max(q.shape[-1], v.shape[-1]) > WIDEST_HEAD:
        return tiled_attention(q, k, v, kernel, dilation, scale)
    return neighborhood(q, k, v, kernel, dilation, scale)


def triton_missing() -> str | None:
    if find_spec("triton") is None:
        return "the package triton is not installed (pip install triton; torch for CUDA brings it along)"
    return None
