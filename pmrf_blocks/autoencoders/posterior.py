"""The distribution that a variational encoder predicts for each latent pixel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Beyond these the exponential leaves float16; the published autoencoders clamp to the same range.
LOGVAR_RANGE = (-30.0, 20.0)


class DiagonalGaussian:
    """N(mean, diag(exp(logvar))) over latents (B, C, h, w), from an encoder's (B, 2C, h, w) moments.

    Examples:
        >>> posterior = DiagonalGaussian(torch.zeros(2, 8, 4, 4))  # four channels of means, four of log variances
        >>> posterior.mode().shape, posterior.std.unique()
        (torch.Size([2, 4, 4, 4]), tensor([1.]))
        >>> posterior.kl()
        tensor([0., 0.])
    """

    def __init__(self, moments: Tensor) -> None:
        if moments.ndim != 4 or moments.shape[1] % 2:
            raise ValueError(f"moments must be (B, 2C, h, w); got {tuple(moments.shape)}")
        self.mean, logvar = moments.chunk(2, dim=1)
        self.logvar = logvar.clamp(*LOGVAR_RANGE)

    @property
    def std(self) -> Tensor:
        return torch.exp(0.5 * self.logvar)

    def mode(self) -> Tensor:
        """Most probable latent (B, C, h, w): the mean."""
        return self.mean

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw (B, C, h, w); pass a generator on the latent's device to reproduce it."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        return self.mean + self.std * noise

    def kl(self) -> Tensor:
        """KL divergence to N(0, I), summed over the latent: (B,), in nats, computed in float32."""
        mean, logvar = self.mean.float(), self.logvar.float()
        return 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).sum(dim=(1, 2, 3))

    def nll(self, z: Tensor) -> Tensor:
        """Negative log-likelihood of latents z (B, C, h, w), summed over the latent: (B,), in nats, in float32."""
        mean, logvar, z = self.mean.float(), self.logvar.float(), z.float()
        return 0.5 * (math.log(2 * math.pi) + logvar + (z - mean).square() / logvar.exp()).sum(dim=(1, 2, 3))

    def __repr__(self) -> str:
        return f"DiagonalGaussian(shape={tuple(self.mean.shape)}, dtype={self.mean.dtype})"
