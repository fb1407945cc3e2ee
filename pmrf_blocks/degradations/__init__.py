"""Degradations of images (B, 3, H, W) in [0, 1], each an nn.Module; all randomness from one generator.

blind_face.py  BlindFaceDegradation, the published pipeline
controlled.py  Denoising, Inpainting, Colourisation, SuperResolution of PMRF's controlled experiments
blur.py        gaussian_kernel(), GaussianBlur
shrinking_blur.py  both in one, quickly
resize.py      Resize
noise.py       GaussianNoise, RandomMask, Greyscale
jpeg.py        JPEG, by cosine_transform.py

augmentations/  the same as augmentations of kornia; importing it imports kornia

Pipelines by name: list_degradations(), build_degradation().
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from pmrf_blocks.degradations.blind_face import BlindFaceDegradation, BlindFaceParameters
from pmrf_blocks.degradations.blur import GaussianBlur, gaussian_kernel
from pmrf_blocks.degradations.controlled import (
    Colourisation,
    ControlledDegradation,
    Denoising,
    Inpainting,
    SuperResolution,
)
from pmrf_blocks.degradations.jpeg import JPEG
from pmrf_blocks.degradations.noise import GaussianNoise, Greyscale, RandomMask
from pmrf_blocks.degradations.resize import Resize

PIPELINES: dict[str, Callable[..., nn.Module]] = {
    "blind-face": BlindFaceDegradation,
    "denoising": Denoising,
    "inpainting": Inpainting,
    "colourisation": Colourisation,
    "super-resolution": SuperResolution,
}


def list_degradations() -> list[str]:
    """Names that build_degradation() takes.

    Examples:
        >>> "blind-face" in list_degradations()
        True
    """
    return list(PIPELINES)


def build_degradation(name: str, **settings: Any) -> nn.Module:
    """The pipeline called `name`: degradation(x, generator=g) -> (degraded, target), both (B, 3, H, W) in [0, 1].

    `settings` are arguments of its class; without them it has its published ones. ValueError for an unknown name.

    Examples:
        >>> build_degradation("super-resolution", factor=4).factor
        4
    """
    if name not in PIPELINES:
        raise ValueError(f"pipeline must be one of {', '.join(map(repr, PIPELINES))}; got {name!r}")
    return PIPELINES[name](**settings)


__all__ = [
    "JPEG",
    "PIPELINES",
    "BlindFaceDegradation",
    "BlindFaceParameters",
    "Colourisation",
    "ControlledDegradation",
    "Denoising",
    "GaussianBlur",
    "GaussianNoise",
    "Greyscale",
    "Inpainting",
    "RandomMask",
    "Resize",
    "SuperResolution",
    "build_degradation",
    "gaussian_kernel",
    "list_degradations",
]
