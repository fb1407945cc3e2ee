"""Whether Triton can run here, and which tensors its kernels take. Nothing here imports Triton."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

from pmrf_blocks.attention.scaled_dot_product import forward_mode

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def interpreted() -> bool:
    """Whether TRITON_INTERPRET asks Triton to run kernels in Python, on CPU tensors. For tests: it is slow."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on", "y")


def why_missing() -> str | None:
    """None where the kernels can run at all, on a GPU or in Triton's interpreter, else the reason why not."""
    if find_spec("triton") is None:
        return "the package triton is not installed (pip install triton; torch for CUDA brings it along)"
    return None if interpreted() else why_unavailable()


@lru_cache(maxsize=1)
def why_unavailable() -> str | None:
    """None where the kernels can run on this machine's GPU, else the reason why not. Probed once.

    Examples:
        >>> (why_unavailable() is None) == is_available()  # else it is the reason
        True
    """
    if find_spec("triton") is None:
        return "the package triton is not installed (pip install triton; torch for CUDA brings it along)"
    if not torch.cuda.is_available():
        return "Triton compiles for CUDA; set TRITON_INTERPRET=1 before Python starts to run it slowly on a CPU"
    if torch.cuda.get_device_capability() < (8, 0):
        return "the kernels need a GPU of compute capability 8.0 or newer"
    return None


def is_available() -> bool:
    """Whether the kernels can run on this machine's GPU.

    Examples:
        >>> is_available() and not torch.cuda.is_available()  # never without a GPU
        False
    """
    return why_unavailable() is None


def fits(*tensors: Tensor) -> bool:
    """Whether the kernels take these tensors: on CUDA, of float32, float16 or bfloat16, with no forward-mode tangent.

    The kernels have first derivatives, and second ones through the eager formula, but no forward mode.
    """
    return all(x.is_cuda and x.dtype in DTYPES for x in tensors) and not forward_mode(*tensors)


def check(name: str, *tensors: Tensor) -> None:
    """Raise where a kernel was asked for by name and cannot take the tensors."""
    if find_spec("triton") is None:
        raise ImportError(f"{name}: {why_unavailable()}")
    if not interpreted() and not all(x.is_cuda for x in tensors):
        raise ValueError(
            f"{name} needs CUDA tensors; got {', '.join(sorted({str(x.device) for x in tensors}))} "
            "(TRITON_INTERPRET=1, set before Python starts, runs it slowly on a CPU)"
        )
    if not all(x.dtype in DTYPES for x in tensors):
        raise ValueError(f"{name} takes float32, float16 or bfloat16; got {', '.join(str(x.dtype) for x in tensors)}")
