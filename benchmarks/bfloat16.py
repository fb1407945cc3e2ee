"""Whether bfloat16 is worth asking for on a device. It suggests; no result depends on it."""

from __future__ import annotations

import time

import torch

SIDE, ROUNDS = 256, 20  # at most 20 milliseconds a product, even where bfloat16 is emulated


def fast_bfloat16(device: torch.device) -> bool:
    """Whether matrix products are faster in bfloat16 than in float32: measured on a CPU, known elsewhere.

    Compares the best of many products in turn: other work on the machine hardly touches that. With all threads:
    torch.set_num_threads() would slow fused attention for the rest of the process, since MKL opens threads inside
    torch's own from then on.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    matrices = {dtype: torch.ones(SIDE, SIDE, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(matrices, float("inf"))
    for _ in range(ROUNDS):
        for dtype, a in matrices.items():
            start = time.perf_counter()
            a @ a
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.bfloat16] < best[torch.float32]
