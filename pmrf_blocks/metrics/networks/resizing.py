"""Resizing as the published metrics do it: a feature distance moves by whole units with the interpolation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def to_bytes(x: Tensor) -> Tensor:
    """Images in [0, 1] on the 8-bit scale, rounded to whole levels; float."""
    return (x.float() * 255.0).round().clamp(0, 255)


def resize_bytes(x: Tensor, side: int, *, mode: str = "bilinear", antialias: bool = False) -> Tensor:
    """Float images on the 8-bit scale brought to side x side and rounded again.

    Without antialiasing bilinear is OpenCV's INTER_LINEAR; with it, bicubic is Pillow's, within a grey level.
    """
    x = F.interpolate(x, (side, side), mode=mode, align_corners=False, antialias=antialias)
    return (x + 0.5).floor().clamp(0, 255)  # both round halves up


def resize_tensorflow(x: Tensor, side: int) -> Tensor:
    """Bilinear to side x side as TensorFlow 1 did it, in which FID was defined: pixel i is read at i * input / side.

    Neither half a pixel's offset nor antialiasing: what torch-fidelity and the original FID do.
    """
    for dim in (2, 3):
        length = x.shape[dim]
        position = torch.arange(side, device=x.device, dtype=torch.float32) * (length / side)
        low = position.floor().long().clamp(max=length - 1)
        high = (low + 1).clamp(max=length - 1)
        weight = (position - low).view(-1, 1) if dim == 2 else position - low
        x = torch.lerp(x.index_select(dim, low), x.index_select(dim, high), weight.to(x.dtype))
    return x
