"""Neighborhood attention in the project's own Triton kernel. Blocks import no kernels: it is found when it is called.

No GPU has run the kernel, only Triton's interpreter: it is taken by name, never by 'auto'.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from torch import Tensor

from pmrf_blocks.attention.tiled import tiled_attention
from pmrf_blocks.attention.windows import Window

KERNEL, CHOICE = "pmrf_blocks.kernels.neighborhood", "pmrf_blocks.kernels.choice"
WIDEST_HEAD = 128


def triton_attention(q: Tensor, k: Tensor, v: Tensor, window: Window, scale: float) -> Tensor:
    """Second derivatives go through the eager formula. Strided and causal windows, and heads wider than 128, are
    tiled."""
    plain = window == Window(window.kernel, window.dilation)
    if not plain or max(q.shape[-1], v.shape[-1]) > WIDEST_HEAD:
        return tiled_attention(q, k, v, window, scale)
    return import_module(KERNEL).neighborhood(q, k, v, window.kernel, window.dilation, scale)


def triton_missing() -> str | None:
    if find_spec("triton") is None:
        return "the package triton is not installed (pip install triton; torch for CUDA brings it along)"
    return None


def triton_unfit() -> str | None:
    return import_module(CHOICE).why_unavailable()
