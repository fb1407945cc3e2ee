"""Devices and precisions by name."""

from __future__ import annotations

import torch

from pmrf_blocks.commands.targets import ArgumentError
from pmrf_blocks.messages import first_line

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(name: str) -> torch.device:
    """The device called `name`; 'auto' is the first of cuda, mps and cpu that works."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ArgumentError(f"device {name!r} cannot be used: {first_line(error)}") from None
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision called `name`. 'auto' is bfloat16 on CUDA; on a CPU float32, whose result is the reference
    and which costs the bundled model little."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise ArgumentError(f"dtype must be one of 'auto', {', '.join(map(repr, DTYPES))}; got {name!r}")
    return DTYPES[name]
