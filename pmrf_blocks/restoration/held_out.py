"""How a set of held-out images is degraded and restored: in validation, in tables, everywhere by one rule.

Image number i of a set is degraded and restored with random numbers that depend on i alone; steps and solver are the
pipeline's own, 25 Euler steps where it says nothing else, as the released code of PMRF tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pmrf_blocks.restoration.pipelines import Pipeline
from pmrf_blocks.seeding import derive_generator

Degradation = Callable[..., tuple[Tensor, Tensor]]
BATCH = 16


def degrade_held_out(degradation: Degradation, images: Tensor, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(degraded, target), each (N, 3, H, W) in [0, 1] on the CPU, of clean images that have these numbers in their set.

    Each is degraded alone and on the CPU: what it draws does not depend on its batch or on the device.

    Raises ValueError where numbers and images are not as many.

    Examples:
        >>> from pmrf_blocks.degradations import Denoising
        >>> images = torch.rand(2, 3, 8, 8)
        >>> degraded, _ = degrade_held_out(Denoising(), images, numbers=[0, 1])
        >>> again, _ = degrade_held_out(Denoising(), images[1:], numbers=[1])  # the number decides, not the batch
        >>> torch.equal(degraded[1:], again)
        True
    """
    pairs = [
        degradation(image[None], generator=derive_generator("held out", number))
        for number, image in zip(numbers, images.cpu(), strict=True)
    ]
    degraded, target = (torch.cat(images) for images in zip(*pairs))
    return degraded, target


def restore_held_out(
    pipeline: Pipeline, degraded: Tensor, *, first: int = 0, batch_size: int = BATCH, **options: Any
) -> Tensor:
    """Restored images (N, 3, H, W) in [0, 1] on the CPU; the seed of an image is its number in its set.

    Arguments:
        degraded: (N, 3, H, W) in [0, 1], consecutive images of the set.
        first: number of the first of them.
        batch_size: restored at once; the last bits of a result depend on it.
        options: of Pipeline.restore().

    Examples:
        >>> pipeline = PosteriorMean(estimator=torch.nn.Identity(), size=8)
        >>> degraded = torch.rand(3, 3, 8, 8)
        >>> torch.equal(restore_held_out(pipeline, degraded, batch_size=2), degraded)
        True
    """
    parts = []
    for start in range(0, len(degraded), batch_size):
        batch = degraded[start : start + batch_size]
        numbers = range(first + start, first + start + len(batch))
        parts.append(pipeline.restore(batch, seed=list(numbers), **options).image.cpu())
    return torch.cat(parts)
