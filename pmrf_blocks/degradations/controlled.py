"""The four degradations of PMRF's controlled experiments at 256x256 (Ohayon et al., 2025, section 5.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pmrf_blocks.degradations.checks import check_images
from pmrf_blocks.degradations.noise import GaussianNoise, Greyscale, RandomMask
from pmrf_blocks.degradations.resize import Resize

Operator = Callable[[Tensor, torch.Generator], Tensor]


class ControlledDegradation:
    """degradation(x, generator=g) -> (degraded, x): an operator, then Gaussian noise, clipped to [0, 1]."""

    def __init__(self, operator: Operator, sigma: float) -> None:
        self.operator, self.noise = operator, GaussianNoise(sigma)

    def __call__(self, x: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = check_images(x)
        return self.noise(self.operator(x, generator), generator), x


class SuperResolution:
    """Shrunk by `factor` (bicubic, antialiased) with noise, shown back at full size by nearest-exact."""

    def __init__(self, factor: int = 8, sigma: float = 0.05) -> None:
        if factor < 1:
            raise ValueError(f"factor must be at least 1; got {factor}")
        self.factor, self.noise = factor, GaussianNoise(sigma)

    def __call__(self, x: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = check_images(x)
        height, width = x.shape[-2:]
        small = Resize(max(1, height // self.factor), max(1, width // self.factor), "bicubic")(x)
        return Resize(height, width, "nearest-exact")(self.noise(small, generator)), x


def denoising() -> ControlledDegradation:
    return ControlledDegradation(lambda x, generator: x, 0.35)


def colourisation() -> ControlledDegradation:
    grey = Greyscale(weights=None)
    return ControlledDegradation(lambda x, generator: grey(x), 0.25)


def inpainting() -> ControlledDegradation:
    return ControlledDegradation(RandomMask(0.9), 0.1)


def super_resolution() -> SuperResolution:
    return SuperResolution()
