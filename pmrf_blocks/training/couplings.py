"""The pairs that a flow is trained between: posterior mean and clean image, in pixels or in latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.training.tasks import Degradation, to_unit


class PixelCoupling:
    """PMRF: the clipped posterior mean and the clean image, in [0, 1] (Ohayon et al., 2025)."""

    def __init__(self, estimator: nn.Module, degradation: Degradation) -> None:
        self.estimator = estimator.eval().requires_grad_(False)
        self.degradation = degradation
        self.frozen: tuple[nn.Module, ...] = (self.estimator,)

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        degraded, target = self.degradation(to_unit(pixels), generator=generator)
        return self.estimator(degraded).float().clamp(0, 1), target

    @staticmethod
    def to_image(x: Tensor) -> Tensor:
        """Images in [0, 1] of the flow's ends: these themselves."""
        return x


class LatentCoupling:
    """Latent-PMRF: the normalised latents of the posterior mean and of the clean image (section 3.1, figure 2)."""

    def __init__(self, autoencoder: SimVAE, estimator: nn.Module, degradation: Degradation) -> None:
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.pixels = PixelCoupling(estimator, degradation)
        self.degradation = degradation
        self.frozen = (self.autoencoder, *self.pixels.frozen)

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        mean, target = self.pixels(pixels, generator)
        both = self.autoencoder.encode(2.0 * torch.cat((mean, target)) - 1.0).mode().float()
        z0, z1 = self.autoencoder.normalize(both).chunk(2)
        return z0, z1

    def to_image(self, z: Tensor) -> Tensor:
        """Images in [0, 1] of normalised latents."""
        return 0.5 * (self.autoencoder.decode(self.autoencoder.denormalize(z)).float() + 1.0)
