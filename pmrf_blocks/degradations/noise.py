"""Noise, missing pixels and missing colour."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pmrf_blocks.degradations.checks import check_images, per_image
from pmrf_blocks.degradations.module import DegradationModule

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as OpenCV and JPEG weigh the channels


class GaussianNoise(DegradationModule):
    """x + sigma * n, clipped to [0, 1]; sigma on the scale of [0, 1] (25 of 255 is 25 / 255), one or one an image.

    Images (B, 3, H, W). The noise of the blind-face pipeline (GFPGAN, DifFace). Raises ValueError for another shape or
    dtype and for a negative sigma.

    Examples:
        >>> GaussianNoise(0.1)(torch.zeros(1, 3, 8, 8), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([1, 3, 8, 8])
    """

    def __init__(self, sigma: float | Tensor) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor, generator: torch.Generator) -> Tensor:
        x = check_images(x)
        sigma = per_image("sigma", self.sigma, x, 0.0, math.inf).view(-1, 1, 1, 1)
        noise = torch.randn(x.shape, generator=generator, device=generator.device, dtype=x.dtype).to(x.device)
        return (x + sigma * noise).clamp(0, 1)


class RandomMask(DegradationModule):
    """Each pixel of images (B, 3, H, W) in [0, 1] set to 0 in all channels with probability `fraction`.

    Every pixel is drawn alone; Inpainting draws a fixed number of pixels, as PMRF's code does. Raises ValueError for a
    fraction outside [0, 1] and for images of another shape or dtype.

    Examples:
        >>> masked = RandomMask(fraction=0.25)(torch.ones(1, 3, 8, 8), generator=torch.Generator().manual_seed(0))
        >>> masked.unique()
        tensor([0., 1.])
    """

    def __init__(self, fraction: float = 0.9) -> None:
        super().__init__()
        if not 0.0 <= fraction <= 1.0:
            raise ValueError(f"fraction must be in [0, 1]; got {fraction}")
        self.fraction = fraction

    def forward(self, x: Tensor, generator: torch.Generator) -> Tensor:
        x = check_images(x)
        size = (len(x), 1, *x.shape[-2:])
        draw = torch.rand(size, generator=generator, device=generator.device).to(x.device)
        return torch.where(draw < self.fraction, x.new_zeros(()), x)


class Greyscale(DegradationModule):
    """All three channels of images (B, 3, H, W) in [0, 1] become the luma of BT.601, as OpenCV's conversion to grey
    gives it, or with weights=None their mean (PMRF's colourisation). Raises ValueError for another shape or dtype.

    Examples:
        >>> grey = Greyscale()(torch.rand(1, 3, 8, 8))
        >>> torch.equal(grey[:, 0], grey[:, 2])
        True
    """

    def __init__(self, weights: tuple[float, float, float] | None = LUMA) -> None:
        super().__init__()
        self.weights = (1 / 3, 1 / 3, 1 / 3) if weights is None else weights

    def forward(self, x: Tensor) -> Tensor:
        x = check_images(x)
        red, green, blue = x.split(1, 1)
        luma = self.weights[0] * red
        luma += self.weights[1] * green
        luma += self.weights[2] * blue
        return luma.clamp_(0, 1).expand_as(x).contiguous()
