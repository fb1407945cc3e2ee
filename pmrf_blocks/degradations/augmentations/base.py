"""What an augmentation of kornia and a degradation have in common."""

from __future__ import annotations

from typing import Any

import torch
from kornia.augmentation import IntensityAugmentationBase2D
from torch import Tensor

Parameters = dict[str, Tensor]
Shape = tuple[int, ...]
KORNIAS_OWN = ("batch_prob", "forward_input_shape")  # parameters that kornia adds to every augmentation's


class RandomDegradation(IntensityAugmentationBase2D):
    """Base: a subclass gives sample() and degrade(), and target() where the target changes with the image.

    Examples:
        >>> class Darker(RandomDegradation):
        ...     def sample(self, shape, generator):
        ...         return {"gain": torch.rand(shape[0], generator=generator)}
        ...     def degrade(self, x, params):
        ...         return x * params["gain"][:, None, None, None]
        >>> augmentation, x = Darker(generator=torch.Generator().manual_seed(0)), torch.ones(2, 3, 8, 8)
        >>> y = augmentation(x)
        >>> y[:, 0, 0, 0], torch.equal(augmentation(x, params=augmentation._params), y)  # replayed
        (tensor([0.4963, 0.7682]), True)
    """

    flags: dict[str, Any]  # settings, which kornia prints

    def __init__(
        self,
        *,
        p: float = 1.0,
        same_on_batch: bool = False,
        keepdim: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self.generator = generator

    def sample(self, shape: Shape, generator: torch.Generator) -> Parameters:
        """What images of `shape` (B, 3, H, W) are degraded with: tensors of B rows each."""
        raise NotImplementedError

    def degrade(self, x: Tensor, params: Parameters) -> Tensor:
        """The degraded images, (B, 3, H, W)."""
        raise NotImplementedError

    def target(self, x: Tensor, params: Parameters) -> Tensor:
        """What is to be restored, from the clean images x."""
        return x

    def generate_parameters(self, batch_shape: Shape) -> Parameters:
        batch = batch_shape[0]
        count = min(1, batch) if self.same_on_batch else batch
        generator = torch.default_generator if self.generator is None else self.generator
        params = self.sample((count, *batch_shape[1:]), generator)
        return {name: value.expand(batch, *value.shape[1:]) for name, value in params.items()}

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        if not input.numel():
            return input
        own = {k: v for k, v in params.items() if isinstance(v, Tensor) and k not in KORNIAS_OWN}
        chosen = params["batch_prob"] > 0.5
        if (self.p == 1.0 and self.p_batch == 1.0) or bool(chosen.all()):
            return self.degrade(input, own).to(input.dtype)
        output = input.clone()  # images that the gate skips are not degraded in vain
        if bool(chosen.any()):
            rows = {name: value[chosen.to(value.device)] for name, value in own.items()}
            some = chosen.to(input.device)
            output[some] = self.degrade(input[some], rows).to(input.dtype)
        return output

    def apply_transform_mask(
        self, input: Tensor, params: Parameters, flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        is_image = input.shape[1] == 3 and input.numel() and input.is_floating_point()
        return self.target(input, params).to(input.dtype) if is_image else input
