"""The arithmetic of a run: a value of its configuration, never a guess about the machine."""

from __future__ import annotations

import torch

PRECISIONS = ("fp32", "bf16")


def check_precision(name: str) -> None:
    """Raises ValueError for a name that is not in PRECISIONS."""
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {PRECISIONS}; got {name!r}")


def bfloat16_where(enabled: bool, device: torch.device, *, keep: bool = False) -> torch.autocast:
    """Autocast to bfloat16, or nothing. A weight's bfloat16 copy is made where it is used: kept ones, as is torch's
    default, outlive the layers that gradient checkpointing computes again. `keep` them where every step of a solver
    uses them."""
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled, cache_enabled=keep)
