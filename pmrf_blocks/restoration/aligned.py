"""Restoring aligned face crops of any size: to the working size, through the model, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.images import ImageError, LoadedImage
from pmrf_blocks.restoration.pipelines import Pipeline

LARGEST_ASPECT = 8
FINE = 4
VISIBLE = 0.01  # root mean square difference, of 1, from which lost detail is told


@dataclass(frozen=True)
class RestoredCrop:
    """`result` at its final size, and what a comparison shows: `degraded` and `posterior_mean` (3, H, W) likewise;
    None where the pipeline has no posterior mean.

    Examples:
        >>> from pmrf_blocks.images import LoadedImage
        >>> crop = LoadedImage(torch.rand(3, 40, 40))
        >>> restored = restore_crop(PosteriorMean(estimator=torch.nn.Identity(), size=32), crop)
        >>> restored.result.pixels.shape == restored.posterior_mean.shape, torch.equal(restored.degraded, crop.pixels)
        (True, True)
    """

    result: LoadedImage
    degraded: Tensor
    posterior_mean: Tensor | None
    nfe: int


def resize_shorter(x: Tensor, shorter: int) -> Tensor:
    """(C, H, W) with the shorter side brought to `shorter` pixels (bicubic, antialiased, clipped to [0, 1])."""
    return resize_to(x, *scaled_size(x.shape[-2], x.shape[-1], shorter))


def scaled_size(height: int, width: int, shorter: int) -> tuple[int, int]:
    scale = shorter / min(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize_to(x: Tensor, height: int, width: int) -> Tensor:
    if x.shape[-2:] == (height, width):
        return x
    y = F.interpolate(x[None], (height, width), mode="bicubic", align_corners=False, antialias=True)
    return y[0].clamp(0, 1)


def working_size(photograph: LoadedImage, restorer: Pipeline) -> tuple[int, int]:
    """Height and width at which a photograph is restored; photographs of one working size can share a batch.

    Raises ImageError for one that is far from a crop of a face.
    """
    height, width = photograph.pixels.shape[-2:]
    if max(height, width) > LARGEST_ASPECT * min(height, width):
        raise ImageError(f"{width}x{height} is no face crop: one side is over {LARGEST_ASPECT} times the other")
    return scaled_size(height, width, restorer.size)


def loss_of_detail(pixels: Tensor, size: int) -> str:
    """A line that says so where a picture (3, H, W) in [0, 1] holds detail that a working size cannot; else ''."""
    height, width = pixels.shape[-2:]
    if min(height, width) <= size:
        return ""
    if min(height, width) > FINE * size:  # detail of four times the working size tells, and costs little
        pixels = resize_shorter(pixels, FINE * size)
    through = resize_to(resize_shorter(pixels, size), *pixels.shape[-2:])
    if float((pixels - through).square().mean().sqrt()) <= VISIBLE:
        return ""
    return (
        f"restored as a whole at {size} pixels, this loses detail of its {width}x{height}; without aligned, only the "
        "faces are restored"
    )


def restore_crop(
    restorer: Pipeline, photograph: LoadedImage, *, size: str | int = "input", **options: Any
) -> RestoredCrop:
    """Restore one aligned crop; `options` go to Pipeline.restore().

    The shorter side is brought to restorer.size and restored there. `size` says how large the result is: 'input', the
    input's own size where that is larger, else the working size; 'model', the working size; a number, that many
    pixels on the shorter side. Alpha is kept and resized along.

    Examples:
        >>> from pmrf_blocks.images import LoadedImage
        >>> pipeline = PosteriorMean(estimator=torch.nn.Identity(), size=32)
        >>> crop = LoadedImage(torch.rand(3, 64, 48))
        >>> restore_crop(pipeline, crop).result.pixels.shape
        torch.Size([3, 64, 48])
        >>> restore_crop(pipeline, crop, size="model").result.pixels.shape
        torch.Size([3, 43, 32])
    """
    return restore_crops(restorer, [photograph], size=size, **options)[0]


def restore_crops(
    restorer: Pipeline, photographs: Sequence[LoadedImage], *, size: str | int = "input", **options: Any
) -> list[RestoredCrop]:
    """restore_crop() of several at once, in one batch. They must have one working_size(): ValueError if not.

    Examples:
        >>> from pmrf_blocks.images import LoadedImage
        >>> pipeline = PosteriorMean(estimator=torch.nn.Identity(), size=32)
        >>> crops = [LoadedImage(torch.rand(3, side, side)) for side in (32, 64)]  # both are restored at 32x32
        >>> [crop.result.pixels.shape[-1] for crop in restore_crops(pipeline, crops)]
        [32, 64]
    """
    sizes = {working_size(photograph, restorer) for photograph in photographs}
    if len(sizes) != 1:
        raise ValueError(f"photographs of one batch must have one working size; got {sorted(sizes)}")
    small = torch.stack([resize_to(photograph.pixels, *next(iter(sizes))) for photograph in photographs])
    restored = restorer.restore(small, **options)
    images = restored.image.float().cpu()
    means = [None] * len(images) if restored.posterior_mean is None else restored.posterior_mean.float().cpu()
    return [
        _at_final_size(photograph, image, mean, size, restored.nfe)
        for photograph, image, mean in zip(photographs, images, means)
    ]


def _at_final_size(
    photograph: LoadedImage, image: Tensor, mean: Tensor | None, size: str | int, nfe: int
) -> RestoredCrop:
    pixels = photograph.pixels
    height, width = pixels.shape[-2:]
    if isinstance(size, int):
        final = scaled_size(height, width, size)
    elif size == "input" and min(height, width) > min(image.shape[-2:]):
        final = (height, width)
    elif size in ("input", "model"):
        final = (image.shape[-2], image.shape[-1])
    else:
        raise ValueError(f"size must be 'input', 'model' or a number of pixels; got {size!r}")
    result, degraded = (resize_to(part, *final) for part in (image, pixels))
    mean = None if mean is None else resize_to(mean, *final)
    alpha = None if photograph.alpha is None else resize_to(photograph.alpha, *final)
    return RestoredCrop(replace(photograph, pixels=result, alpha=alpha), degraded, mean, nfe)
