"""Checks that the full-reference metrics share."""

from __future__ import annotations

import torch
from torch import Tensor


def check_pair(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Two sets of images (B, C, H, W) of one shape, in float32 at least."""
    if x.ndim != 4 or x.shape != y.shape:
        raise ValueError(f"images must be two (B, C, H, W) of one shape; got {tuple(x.shape)} and {tuple(y.shape)}")
    if not x.is_floating_point() or not y.is_floating_point():
        raise ValueError(f"images must be floating point, in [0, data_range]; got {x.dtype} and {y.dtype}")
    dtype = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
    return x.to(dtype), y.to(dtype)


def to_double(x: Tensor) -> Tensor:
    """In float64, on the CPU where the device has none (mps)."""
    return x.cpu().double() if x.device.type == "mps" else x.double()
