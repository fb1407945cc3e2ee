"""Restoring one photograph of any size: to the working size, through the model, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.data.photographs import Photograph, PhotographError
from pmrf_blocks.restoration.pipelines import Restorer

LARGEST_ASPECT = 8


@dataclass(frozen=True)
class RestoredPhotograph:
    """`result` at its final size, and what a comparison shows: `degraded` and `posterior_mean` (3, H, W) likewise."""

    result: Photograph
    degraded: Tensor
    posterior_mean: Tensor
    nfe: int


def resize_shorter(x: Tensor, shorter: int) -> Tensor:
    """(C, H, W) with the shorter side brought to `shorter` pixels (bicubic, antialiased, clipped to [0, 1])."""
    height, width = x.shape[-2:]
    scale = shorter / min(height, width)
    return resize_to(x, max(1, round(height * scale)), max(1, round(width * scale)))


def resize_to(x: Tensor, height: int, width: int) -> Tensor:
    if x.shape[-2:] == (height, width):
        return x
    y = F.interpolate(x[None], (height, width), mode="bicubic", align_corners=False, antialias=True)
    return y[0].clamp(0, 1)


def restore_photograph(
    restorer: Restorer, photograph: Photograph, *, size: str | int = "input", **options: Any
) -> RestoredPhotograph:
    """Restore one photograph; `options` go to Restorer.restore().

    The shorter side is brought to restorer.size and restored there. `size` says how large the result is: 'input', the
    input's own size where that is larger, else the working size; 'model', the working size; a number, that many
    pixels on the shorter side. Alpha is kept and resized along.
    """
    pixels = photograph.pixels
    height, width = pixels.shape[-2:]
    if max(height, width) > LARGEST_ASPECT * min(height, width):
        raise PhotographError(f"{width}x{height} is no face crop: one side is over {LARGEST_ASPECT} times the other")
    small = resize_shorter(pixels, restorer.size)
    restored = restorer.restore(small[None], **options)
    image, mean = restored.image[0].float().cpu(), restored.posterior_mean[0].float().cpu()
    if isinstance(size, int):
        final = tuple(resize_shorter(pixels[:1], size).shape[-2:])
    elif size == "input" and min(height, width) > restorer.size:
        final = (height, width)
    elif size in ("input", "model"):
        final = tuple(small.shape[-2:])
    else:
        raise ValueError(f"size must be 'input', 'model' or a number of pixels; got {size!r}")
    parts = [resize_to(part, final[0], final[1]) for part in (image, pixels, mean)]
    alpha = None if photograph.alpha is None else resize_to(photograph.alpha, final[0], final[1])
    return RestoredPhotograph(Photograph(parts[0], alpha), parts[1], parts[2], restored.nfe)
