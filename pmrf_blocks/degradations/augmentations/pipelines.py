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
    """BlindFaceDegradation with `settings`, its arguments; the target turns grey with its image.

    Examples:
        >>> from pmrf_blocks.degradations import BlindFaceDegradation
        >>> x = torch.rand(2, 3, 64, 64)
        >>> generator = torch.manual_seed(0)
        >>> degraded = RandomBlindFace()(x)
        >>> torch.equal(degraded, BlindFaceDegradation()(x, generator=torch.Generator().manual_seed(0))[0])
        True
    """

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
    """Denoising: noise alone.

    Examples:
        >>> x = torch.rand(1, 3, 64, 64).expand(2, -1, -1, -1)
        >>> degraded = RandomDenoising(same_on_batch=True)(x)
        >>> torch.equal(degraded[0], degraded[1]), torch.equal(degraded, x)  # one draw for both
        (True, False)
    """

    kind = Denoising


class RandomInpainting(_RandomControlled):
    """Inpainting: pixels missing, then noise.

    Examples:
        >>> x = torch.rand(1, 3, 64, 64)
        >>> RandomInpainting(p=0.0)(x).equal(x)  # no image is degraded
        True
    """

    kind = Inpainting


class RandomColourisation(_RandomControlled):
    """Colourisation: the mean of the channels with one noise. It keeps three channels, as a batch has one shape.

    Examples:
        >>> y = RandomColourisation()(torch.rand(1, 3, 16, 16))
        >>> y.shape, torch.equal(y[:, 0], y[:, 1])
        (torch.Size([1, 3, 16, 16]), True)
    """

    kind = Colourisation


class RandomSuperResolution(_RandomControlled):
    """SuperResolution: shrunk, noisy, shown at full size.

    Examples:
        >>> RandomSuperResolution(keepdim=True)(torch.rand(3, 64, 64)).shape
        torch.Size([3, 64, 64])
    """

    kind = SuperResolution
