"""The blind-face degradation y = up(JPEG(down(x * k) + n)) (GFPGAN; ranges of DifFace and PMRF)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from pmrf_blocks.degradations.blur import gaussian_kernel
from pmrf_blocks.degradations.checks import check_images, uniform
from pmrf_blocks.degradations.jpeg import compress
from pmrf_blocks.degradations.module import DegradationModule
from pmrf_blocks.degradations.noise import Greyscale
from pmrf_blocks.degradations.shrinking_blur import blur_and_shrink, enlarge

Range = tuple[float, float]


@dataclass(frozen=True)
class BlindFaceParameters:
    """What one batch is degraded with, (B,) each: enough to do it again.

    Sigmas of the blur in pixels and its angle in radians; down-sampling factor; standard deviation of the noise on
    [0, 1]; JPEG quality; whether the image turns grey; the seed of each image's noise. `kernel_size` is common.

    Examples:
        >>> drawn = BlindFaceDegradation().sample_parameters(2, 64, torch.Generator().manual_seed(0))
        >>> drawn.quality.shape
        torch.Size([2])
    """

    kernel_size: int
    sigma_x: Tensor
    sigma_y: Tensor
    theta: Tensor
    factor: Tensor
    noise: Tensor
    quality: Tensor
    grey: Tensor
    noise_seed: Tensor


class BlindFaceDegradation(DegradationModule):
    """degradation(x, generator=g) -> (degraded, target), both (B, 3, H, W) in [0, 1].

    Each image is blurred (isotropic or not, half and half), shrunk, made noisy, compressed, brought back to its size
    and, rarely, turned grey, its target with it; the result is rounded to 8 bits.

    Arguments:
        kernel_size, sigma, factor: of blur and down-sampling, for images whose shorter side is `reference_size`
            pixels. At another size all three scale along, so that the same share of the face is lost; None applies
            them as they are.
        isotropic: probability of a round kernel.
        noise: range of the noise's standard deviation, of 255.
        quality: range of whole JPEG qualities, both ends included. The papers say 30 to 100; PMRF's code cuts
            uniform numbers off and so never draws 100: (30, 99).
        grey: probability that an image turns grey, with its target.

    The steps are those of GFPGAN and DifFace; the default settings are those of PMRF's code
    (utils/create_degradation.py). Raises ValueError for a range that is none, an even kernel_size, and images of
    another shape or dtype.

    Examples:
        >>> images = torch.rand(2, 3, 64, 64)
        >>> degraded, target = BlindFaceDegradation(grey=0.0)(images, generator=torch.Generator().manual_seed(0))
        >>> degraded.shape, torch.equal(target, images)
        (torch.Size([2, 3, 64, 64]), True)
        >>> medium = BlindFaceDegradation.fixed(sigma=5.0, factor=8.0, noise=10.0, quality=60)
        >>> medium.sample_parameters(3, 512, torch.Generator().manual_seed(0)).quality
        tensor([60., 60., 60.])
    """

    def __init__(
        self,
        *,
        kernel_size: int = 41,
        isotropic: float = 0.5,
        sigma: Range = (0.1, 15.0),
        factor: Range = (0.8, 32.0),
        noise: Range = (0.0, 20.0),
        quality: tuple[int, int] = (30, 100),
        grey: float = 0.01,
        reference_size: int | None = 512,
    ) -> None:
        super().__init__()
        for name, (low, high), least in (
            ("sigma", sigma, 1e-6), ("factor", factor, 1e-6), ("noise", noise, 0.0), ("quality", quality, 1.0),
        ):  # fmt: skip
            if not least <= low <= high:
                raise ValueError(f"{name} must be a range (low, high) from {least:g} up; got {(low, high)}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and at least 1; got {kernel_size}")
        self.kernel_size, self.isotropic, self.sigma, self.factor = kernel_size, isotropic, sigma, factor
        self.noise, self.quality, self.grey, self.reference_size = noise, quality, grey, reference_size
        self.to_grey = Greyscale()

    @classmethod
    def fixed(
        cls,
        *,
        sigma: float,
        factor: float,
        noise: float,
        quality: int,
        kernel_size: int = 41,
        reference_size: int | None = 512,
    ) -> Self:
        """Every image is degraded alike: a round blur, these very numbers instead of ranges, no grey. Only the noise
        itself is drawn.

        Arguments as the class has them. Raises ValueError for a number outside of the class's limits.
        """
        return cls(
            kernel_size=kernel_size,
            isotropic=1.0,
            sigma=(sigma, sigma),
            factor=(factor, factor),
            noise=(noise, noise),
            quality=(quality, quality),
            grey=0.0,
            reference_size=reference_size,
        )

    def sample_parameters(self, batch: int, size: int, generator: torch.Generator) -> BlindFaceParameters:
        """Draw what `batch` images with shorter side `size` are degraded with; on the generator's device."""
        scale = 1.0 if self.reference_size is None else size / self.reference_size
        sigma_x = scale * uniform(batch, *self.sigma, generator)
        sigma_y = scale * uniform(batch, *self.sigma, generator)
        round_ = uniform(batch, 0.0, 1.0, generator) < self.isotropic
        return BlindFaceParameters(
            kernel_size=2 * round(scale * (self.kernel_size // 2)) + 1,
            sigma_x=sigma_x,
            sigma_y=torch.where(round_, sigma_x, sigma_y),
            theta=uniform(batch, -math.pi, math.pi, generator),
            factor=scale * uniform(batch, *self.factor, generator),
            noise=uniform(batch, *self.noise, generator) / 255.0,
            quality=uniform(batch, self.quality[0], self.quality[1] + 1, generator).floor().clamp(max=self.quality[1]),
            grey=uniform(batch, 0.0, 1.0, generator) < self.grey,
            noise_seed=torch.randint(2**62, (batch,), generator=generator, device=generator.device),
        )

    def forward(self, x: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.degrade(x, self.sample_parameters(len(x), min(x.shape[-2:]), generator))

    def degrade(self, x: Tensor, parameters: BlindFaceParameters) -> tuple[Tensor, Tensor]:
        """Degrade with given parameters: a pure function, image by image."""
        x = check_images(x)
        p = parameters
        height, width = x.shape[-2:]
        kernels = gaussian_kernel(p.kernel_size, p.sigma_x, p.sigma_y, p.theta).to(x.device)
        quality = p.quality.to(x)
        noise_levels, factors, seeds = p.noise.tolist(), p.factor.tolist(), p.noise_seed.tolist()
        greys = p.grey.tolist()
        degraded = torch.empty_like(x)
        for i in range(len(x)):  # every image has a size of its own in between
            low = (max(1, int(height // factors[i])), max(1, int(width // factors[i])))
            small = blur_and_shrink(x[i : i + 1], kernels[i], *low)
            own = torch.Generator(x.device).manual_seed(seeds[i])
            small = small + noise_levels[i] * torch.randn(small.shape, generator=own, device=x.device, dtype=x.dtype)
            small = compress(small.clamp(0, 1), quality[i : i + 1])
            result = enlarge(small, height, width)
            if greys[i]:
                result = self.to_grey(result).contiguous()
            degraded[i] = result.mul_(255.0).round_().div_(255.0)[0]  # in [0, 1], as means of such values are
        if any(greys):
            x = torch.where(p.grey.to(x.device).view(-1, 1, 1, 1), self.to_grey(x), x)
        return degraded, x
