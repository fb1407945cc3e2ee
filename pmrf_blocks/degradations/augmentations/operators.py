"""Single steps of a degradation as augmentations of kornia, with parameters drawn from ranges (low, high)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pmrf_blocks.degradations.augmentations.base import Parameters, RandomDegradation, Shape
from pmrf_blocks.degradations.blur import filter2d, gaussian_kernel
from pmrf_blocks.degradations.checks import check_images, uniform
from pmrf_blocks.degradations.jpeg import compress
from pmrf_blocks.degradations.noise import Greyscale
from pmrf_blocks.degradations.resize import resize

Range = tuple[float, float]


def check_range(name: str, value: Range, least: float, most: float = math.inf) -> Range:
    """`value`; ValueError where it is no range (low, high) inside [least, most]."""
    if len(value) != 2 or not least <= value[0] <= value[1] <= most:
        raise ValueError(f"{name} must be a range (low, high) inside [{least:g}, {most:g}]; got {value}")
    return value


class RandomJPEG(RandomDegradation):
    """JPEG as libjpeg has it, to the bit, at whole qualities of the range `quality`, both ends included.

    kornia's RandomJPEG is differentiable and near JPEG instead.

    Examples:
        >>> x = torch.rand(1, 3, 32, 32)
        >>> errors = [(RandomJPEG(quality=(q, q))(x) - x).abs().mean() for q in (90, 30)]
        >>> bool(errors[0] < errors[1])
        True
    """

    def __init__(self, quality: tuple[int, int] = (30, 100), **options: Any) -> None:
        super().__init__(**options)
        self.flags = {"quality": check_range("quality", quality, 1, 100)}

    def sample(self, shape: Shape, generator: torch.Generator) -> Parameters:
        low, high = self.flags["quality"]
        return {"quality": uniform(shape[0], low, high + 1, generator).floor().clamp(max=high)}

    def degrade(self, x: Tensor, params: Parameters) -> Tensor:
        x = check_images(x)
        return compress(x, params["quality"].to(x))


class RandomGaussianBlur(RandomDegradation):
    """Gaussian blur with a kernel of its own for every image, isotropic with probability `isotropic`.

    `sigma` is the range of the standard deviations along both axes, in pixels; the other axis's angle is uniform.
    kornia's RandomGaussianBlur has no rotated kernels.

    Examples:
        >>> x = torch.rand(4, 3, 32, 32)
        >>> blurred = RandomGaussianBlur(kernel_size=9, sigma=(2.0, 3.0))(x)
        >>> bool(blurred.std() < 0.5 * x.std())
        True
    """

    def __init__(
        self, kernel_size: int = 41, sigma: Range = (0.1, 15.0), isotropic: float = 0.5, **options: Any
    ) -> None:
        super().__init__(**options)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and at least 1; got {kernel_size}")
        sigma = check_range("sigma", sigma, 1e-6)
        self.flags = {"kernel_size": kernel_size, "sigma": sigma, "isotropic": isotropic}

    def sample(self, shape: Shape, generator: torch.Generator) -> Parameters:
        low, high = self.flags["sigma"]
        sigma_x, sigma_y = (uniform(shape[0], low, high, generator) for _ in range(2))
        isotropic = uniform(shape[0], 0.0, 1.0, generator) < self.flags["isotropic"]
        theta = uniform(shape[0], -math.pi, math.pi, generator)
        return {"sigma_x": sigma_x, "sigma_y": torch.where(isotropic, sigma_x, sigma_y), "theta": theta}

    def degrade(self, x: Tensor, params: Parameters) -> Tensor:
        x = check_images(x)
        kernels = gaussian_kernel(self.flags["kernel_size"], params["sigma_x"], params["sigma_y"], params["theta"])
        return filter2d(x, kernels.to(x))


class RandomGaussianNoise(RandomDegradation):
    """Gaussian noise of a standard deviation from the range `sigma`, on the scale of [0, 1]; clipped to [0, 1].

    Examples:
        >>> augmentation = RandomGaussianNoise(sigma=(0.1, 0.1))
        >>> y = augmentation(torch.full((4, 3, 64, 64), 0.5))
        >>> round(y.std().item(), 2)
        0.1
    """

    def __init__(self, sigma: Range = (0.0, 20 / 255), **options: Any) -> None:
        super().__init__(**options)
        self.flags = {"sigma": check_range("sigma", sigma, 0.0)}

    def sample(self, shape: Shape, generator: torch.Generator) -> Parameters:
        low, high = self.flags["sigma"]
        sigma = uniform(shape[0], low, high, generator)
        return {"sigma": sigma, "noise": torch.randn(shape, generator=generator, device=generator.device)}

    def degrade(self, x: Tensor, params: Parameters) -> Tensor:
        return (x + params["sigma"].to(x).view(-1, 1, 1, 1) * params["noise"].to(x)).clamp(0, 1)


class RandomDownscale(RandomDegradation):
    """Shrunk by a factor from the range `factor` and brought back, both bilinear without antialiasing as in OpenCV.

    Examples:
        >>> x = torch.rand(1, 3, 32, 32)
        >>> RandomDownscale(factor=(4.0, 4.0))(x).shape
        torch.Size([1, 3, 32, 32])
    """

    def __init__(self, factor: Range = (1.0, 8.0), **options: Any) -> None:
        super().__init__(**options)
        self.flags = {"factor": check_range("factor", factor, 1e-6)}

    def sample(self, shape: Shape, generator: torch.Generator) -> Parameters:
        low, high = self.flags["factor"]
        return {"factor": uniform(shape[0], low, high, generator)}

    def degrade(self, x: Tensor, params: Parameters) -> Tensor:
        height, width = x.shape[-2:]
        images = []
        for image, factor in zip(x.split(1), params["factor"].tolist()):
            small = resize(image, max(1, int(height / factor)), max(1, int(width / factor)))
            images.append(resize(small, height, width))
        return torch.cat(images)


class RandomMask(RandomDegradation):
    """Each pixel set to 0 in all channels with probability `fraction`.

    Examples:
        >>> y = RandomMask(fraction=0.9)(torch.ones(1, 3, 100, 100))
        >>> round(y.mean().item(), 1)
        0.1
    """

    def __init__(self, fraction: float = 0.9, **options: Any) -> None:
        super().__init__(**options)
        if not 0.0 <= fraction <= 1.0:
            raise ValueError(f"fraction must be in [0, 1]; got {fraction}")
        self.flags = {"fraction": fraction}

    def sample(self, shape: Shape, generator: torch.Generator) -> Parameters:
        draw = torch.rand((shape[0], 1, *shape[-2:]), generator=generator, device=generator.device)
        return {"masked": draw < self.flags["fraction"]}

    def degrade(self, x: Tensor, params: Parameters) -> Tensor:
        return torch.where(params["masked"].to(x.device), x.new_zeros(()), x)


class RandomGreyscale(RandomDegradation):
    """All channels become the luma of BT.601, in the target too.

    Examples:
        >>> y = RandomGreyscale()(torch.rand(2, 3, 8, 8))
        >>> torch.equal(y[:, 0], y[:, 1]) and torch.equal(y[:, 0], y[:, 2])
        True
    """

    def sample(self, shape: Shape, generator: torch.Generator) -> Parameters:
        return {}

    def degrade(self, x: Tensor, params: Parameters) -> Tensor:
        return Greyscale()(x)

    def target(self, x: Tensor, params: Parameters) -> Tensor:
        return Greyscale()(x)
