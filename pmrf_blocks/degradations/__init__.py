"""Degradations of images (B, 3, H, W) in [0, 1]; all randomness from one generator.

blind_face.py  BlindFaceDegradation, the published pipeline
controlled.py  denoising, inpainting, colourisation, super-resolution of PMRF's controlled experiments
blur.py        gaussian_kernel(), GaussianBlur
shrinking_blur.py  both in one, quickly
resize.py      Resize
noise.py       GaussianNoise, RandomMask, Greyscale
jpeg.py        JPEG, by cosine_transform.py

Pipelines by name: PIPELINES, build_degradation().
"""

from collections.abc import Callable
from typing import Any

from pmrf_blocks.degradations.blind_face import BlindFaceDegradation, BlindFaceParameters
from pmrf_blocks.degradations.blur import GaussianBlur, gaussian_kernel
from pmrf_blocks.degradations.controlled import (
    ControlledDegradation,
    SuperResolution,
    colourisation,
    denoising,
    inpainting,
    super_resolution,
)
from pmrf_blocks.degradations.jpeg import JPEG
from pmrf_blocks.degradations.noise import GaussianNoise, Greyscale, RandomMask
from pmrf_blocks.degradations.resize import Resize

PIPELINES: dict[str, Callable[[], Any]] = {
    "blind-face": BlindFaceDegradation,
    "denoising": denoising,
    "inpainting": inpainting,
    "colourisation": colourisation,
    "super-resolution": super_resolution,
}


def build_degradation(name: str) -> Any:
    """The pipeline called `name`, with its published settings: degradation(x, generator=g) -> (degraded, target)."""
    if name not in PIPELINES:
        raise ValueError(f"pipeline must be one of {', '.join(map(repr, PIPELINES))}; got {name!r}")
    return PIPELINES[name]()


__all__ = [
    "JPEG",
    "PIPELINES",
    "BlindFaceDegradation",
    "BlindFaceParameters",
    "ControlledDegradation",
    "GaussianBlur",
    "GaussianNoise",
    "Greyscale",
    "RandomMask",
    "Resize",
    "SuperResolution",
    "build_degradation",
    "gaussian_kernel",
]
