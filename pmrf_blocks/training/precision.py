"""Which arithmetic a run uses: bfloat16 is asked of the hardware, by a measurement, not assumed."""

from __future__ import annotations

import functools
import time

import torch

PRECISIONS = ("auto", "fp32", "bf16")
SIDE, ROUNDS = 256, 20  # at most 20 milliseconds a product, even where bfloat16 is emulated


def choose_precision(name: str, device: torch.device) -> str:
    """'fp32' or 'bf16' for a name of PRECISIONS: 'auto' is bf16 where it is faster on `device`."""
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(map(repr, PRECISIONS))}; got {name!r}")
    if name != "auto":
        return name
    return "bf16" if fast_bfloat16(device) else "fp32"


def bfloat16_where(enabled: bool, device: torch.device, *, keep: bool = False) -> torch.autocast:
    """Autocast to bfloat16, or nothing. A weight's bfloat16 copy is made where it is used: kept ones, as is torch's
    default, outlive the layers that gradient checkpointing computes again. `keep` them where every step of a solver
    uses them."""
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled, cache_enabled=keep)


def fast_bfloat16(device: torch.device) -> bool:
    """Whether matrix products are faster in bfloat16 than in float32: measured on a processor, known elsewhere."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and _faster_on_the_processor()


@functools.cache
def _faster_on_the_processor() -> bool:
    """Compares the best of many products in turn: other work on the machine hardly touches that. With all threads:
    torch.set_num_threads() would slow fused attention for the rest of the process, since MKL opens threads inside
    torch's own from then on."""
    matrices = {dtype: torch.ones(SIDE, SIDE, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(matrices, float("inf"))
    for _ in range(ROUNDS):
        for dtype, a in matrices.items():
            start = time.perf_counter()
            a @ a
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.bfloat16] < best[torch.float32]
