"""Memory that a step frees, kept for the next."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed_memory() -> bool:
    """Have glibc's malloc keep what is freed, rather than hand it back and have it cleared again at the next step;
    whether it will.

    On a CPU these page faults took a tenth of a training step of Latent-PMRF's transformer (docs/training.md).
    For the whole process, for good: its resident memory stays at its peak. Other systems and CUDA are not affected.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))
