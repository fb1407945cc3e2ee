"""The published pipelines as augmentations of kornia."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pmrf_blocks.degradations.augmentations.base import Parameters, RandomDegradation, Shape
from pmrf_blocks.degradations.blind_face import BlindFaceDegradation, BlindFaceParameters
from pmrf_blocks.degradations.controlled import (
    Colourisation,
    ControlledDegradation,
    Denoising,
    Inpainting,
    SuperResolution,
)


class RandomBlindFace(RandomDegradation):
    """BlindFaceDegradation with `settings`, its arguments; the target turns grey with its image."""

    def __init__(
        self,
        *,
        p: float = 1.0,
        same_on_batch: bool = False,
        keepdim: bool = False,
        generator: torch.Generator | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim, generator=generator)
        self.degradation, self.flags = BlindFaceDegradation(**settings), settings

    def sample(self, shape: Shape, generator: torch.Generator) -> Parameters:
        drawn = vars(self.degradation.sample_parameters(shape[0], min(shape[-2:]), generator))
        return {**drawn, "kernel_size": torch.full((shape[0],), drawn["kernel_size"])}

    def degrade(self, x: Tensor, params: Parameters) -> Tensor:
        own = {name: params[name] for name in BlindFaceParameters.__dataclass_fields__}
        size = int(own.pop("kernel_size")[0])
        return self.degradation.degrade(x, BlindFaceParameters(kernel_size=size, **own))[0]

    def target(self, x: Tensor, params: Parameters) -> Tensor:
        grey = params["grey"].to(x.device).view(-1, 1, 1, 1)
        return torch.where(grey, self.degradation.to_grey(x), x)


class _RandomControlled(RandomDegradation):
    """One of PMRF's controlled degradations (Ohayon et al., 2025, section 5.2); `settings` are its arguments."""

    kind: type[ControlledDegradation]

    def __init__(
        self,
        *,
        p: float = 1.0,
        same_on_batch: bool = False,
        keepdim: bool = False,
        generator: torch.Generator | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim, generator=generator)
        self.degradation, self.flags = self.kind(**settings), settings

    def sample(self, shape: Shape, generator: torch.Generator) -> Parameters:
        return self.degradation.sample_parameters(shape, generator)

    def degrade(self, x: Tensor, params: Parameters) -> Tensor:
        return self.degradation.degrade(x, params)[0]


class RandomDenoising(_RandomControlled):
    """Denoising: noise alone."""

    kind = Denoising


class RandomInpainting(_RandomControlled):
    """Inpainting: pixels missing, then noise."""

    kind = Inpainting


class RandomColourisation(_RandomControlled):
    """Colourisation: the mean of the channels with one noise. It keeps three channels, as a batch has one shape."""

    kind = Colourisation


class RandomSuperResolution(_RandomControlled):
    """SuperResolution: shrunk, noisy, shown at full size."""

    kind = SuperResolution
