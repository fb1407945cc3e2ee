"""Checks that every degradation shares."""

from __future__ import annotations

import torch
from torch import Tensor


def check_images(x: Tensor) -> Tensor:
    """x (B, 3, H, W) in float32 at least; ValueError for another rank, channel count or dtype."""
    if x.ndim != 4 or x.shape[1] != 3 or not x.is_floating_point() or 0 in x.shape:
        raise ValueError(f"images must be a float tensor (B, 3, H, W) in [0, 1]; got {x.dtype} {tuple(x.shape)}")
    return x.to(torch.promote_types(x.dtype, torch.float32))


def per_image(name: str, value: float | Tensor, x: Tensor, low: float, high: float) -> Tensor:
    """`value` as a tensor (B,) of x's dtype and device; ValueError outside [low, high]."""
    tensor = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    if tensor.ndim == 0:
        tensor = tensor.expand(len(x))
    if tensor.shape != (len(x),):
        raise ValueError(f"{name} must be one number or one an image, ({len(x)},); got {tuple(tensor.shape)}")
    if not bool(((tensor >= low) & (tensor <= high)).all()):
        raise ValueError(f"{name} must be in [{low}, {high}]; got {tensor.tolist()}")
    return tensor


def uniform(
    count: int, low: float, high: float, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> Tensor:
    """(count,) numbers uniform in [low, high), on the generator's device."""
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device, dtype=dtype)
