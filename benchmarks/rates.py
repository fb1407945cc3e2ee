"""What the device reaches at best: the two sides of the roofline; and which precisions are worth a row."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from benchmarks.bfloat16 import fast_bfloat16
from benchmarks.comparison import PRECISIONS, Settings
from benchmarks.measure import measure
from pmrf_blocks.kernels.linear import FastLinear


def fast_dtypes(device: torch.device) -> tuple[torch.dtype, ...]:
    """The precisions that a user of this device would choose: float32, and half ones where they are not emulated."""
    half = (torch.bfloat16,) if fast_bfloat16(device) else ()
    return (torch.float32, *half, *((torch.float16,) if device.type == "cuda" else ()))


def measure_rates(settings: Settings) -> dict[str, Any]:
    """{'operations': {dtype: per second, of a large matrix product}, 'bytes': per second, read and written by a copy}.

    float32 products on CUDA are in full float32, as the blocks compute by default.
    """
    device = settings.device
    side = 256 if settings.tiny else 8192 if device.type == "cuda" else 2048
    length = (1 if settings.tiny else 1024 if device.type == "cuda" else 256) * 2**18
    source, target = torch.randn(length, device=device), torch.empty(length, device=device)
    operations = {}
    for name in ("float32", "bfloat16", *(["float16"] if torch.float16 in settings.dtypes else [])):
        size = side if PRECISIONS[name] in settings.dtypes else min(side, 256)  # emulated: seconds
        a = torch.randn(size, size, device=device).to(PRECISIONS[name])
        layer = FastLinear(size, size, bias=False).to(a)  # another library's product, on a CPU
        with torch.no_grad():
            products = measure({"matmul": partial(torch.matmul, a, a), "linear": partial(layer, a)}, settings)
        operations[name] = 2 * size**3 / min(product["best"] for product in products.values())
    best = measure({"": lambda: target.copy_(source)}, settings)[""]["best"]
    return {"operations": operations, "bytes": 2 * 4 * length / best}
