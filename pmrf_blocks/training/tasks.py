"""What a stage minimises: the base of all tasks, and those of autoencoder and posterior mean.

A task is a module whose forward() is the loss. The loop wraps the task, not the network, so that gradients are
synchronised between processes whichever of the network's methods the loss calls. Frozen networks are held outside
the module tree: they are neither trained, wrapped, nor saved with the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.metrics import psnr
from pmrf_blocks.restoration.held_out import Degradation
from pmrf_blocks.restoration.spaces import from_signed, to_signed
from pmrf_blocks.seeding import derive_generator

LossAndParts = tuple[Tensor, dict[str, Tensor]]
Pixels = Tensor | Sequence[Tensor]  # uint8 images (B, 3, H, W), or (degraded, target) of them
Row = list[tuple[str, Tensor]]


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 pixels to float32 in [0, 1], channels_last as the networks like them."""
    return pixels.float().div(255.0).contiguous(memory_format=torch.channels_last)


def degrade(degradation: Degradation | None, pixels: Pixels, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(degraded, target) in [0, 1] of uint8 images (B, 3, H, W), in float32 whatever the run's precision: bfloat16 has
    no room for 256 grey levels. A pair of such batches is degraded already (see degraded_images.py)."""
    if not isinstance(pixels, Tensor):
        degraded, target = map(to_unit, pixels)
        return degraded, target
    if degradation is None:
        raise ValueError("images are trained on with a degradation; without one, a batch is of pairs")
    with torch.autocast(pixels.device.type, enabled=False):
        return degradation(to_unit(pixels), generator=generator)


@dataclass(frozen=True)
class Examined:
    """What validation learns from one batch.

    Attributes:
        scores: by name, means over the batch.
        features: by the name of their score, (of the results, of the originals), each (B, D); their Fréchet distance
            over the whole set is the score.
        rows: for the picture, one an image: labels and images (1, 3, H, W) in [0, 1].
    """

    scores: Mapping[str, Tensor]
    features: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    rows: Sequence[Row] = ()


class Task(nn.Module):
    """Base: `network` is trained; forward(batch, generator) gives the loss and its parts for the log."""

    network: nn.Module
    validation_batch = 1

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        return [{"params": parameters, "lr": lr, "weight_decay": weight_decay}]

    def compiled_modules(self) -> Sequence[nn.Module]:
        """What torch.compile is to compile: modules that the loss calls as such, not by another method."""
        return (self.network,)

    def frozen_modules(self) -> Sequence[nn.Module]:
        """Networks outside the module tree that the loss needs: brought to the device, never trained."""
        return ()

    def examine(self, batch: Any, numbers: Sequence[int], seed: int, *, pictures: int = 0) -> Examined:
        """What validation learns from a batch of at most `validation_batch` items, which have these numbers in their
        set: by default scores() and, where `pictures` are asked for, pictures(), of a batch of one."""
        device = next(self.network.parameters()).device

        def generator() -> torch.Generator:
            return derive_generator(seed, "validate", numbers[0], device=device)

        return Examined(self.scores(batch, generator()), rows=[self.pictures(batch, generator())] if pictures else [])

    def scores(self, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """Validation scores of one image (a batch of one)."""
        loss, parts = self(batch, generator)
        return {"loss": loss, **parts}

    def pictures(self, batch: Any, generator: torch.Generator) -> Row:
        """What the validation shows of one image: labels and images (1, 3, H, W) in [0, 1]; none by default."""
        return []


class AutoencoderTask(Task):
    """Mean L1 in [-1, 1] + perceptual_weight * perceptual + kl_weight * KL (eq. 9; KL summed over a latent).

    Examples:
        >>> from pmrf_blocks.autoencoders import SimVAE
        >>> vae = SimVAE(latent_channels=2, channels=(8, 16), blocks_per_level=1, middle_blocks=1)
        >>> images = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
        >>> loss, parts = AutoencoderTask(vae, kl_weight=1e-6)(images, torch.Generator().manual_seed(0))
        >>> torch.allclose(loss, parts["l1"] + 1e-6 * parts["kl"])
        True
    """

    network: SimVAE

    def __init__(
        self,
        network: SimVAE,
        *,
        perceptual: nn.Module | None = None,
        perceptual_weight: float = 0.05,
        kl_weight: float = 1e-6,
    ) -> None:
        super().__init__(network)
        self.perceptual_loss, self.perceptual_weight, self.kl_weight = perceptual, perceptual_weight, kl_weight

    def forward(self, pixels: Tensor, generator: torch.Generator) -> LossAndParts:
        x = to_unit(pixels)
        posterior = self.network.encode(to_signed(x))
        y = from_signed(self.network.decode(posterior.sample(generator)))
        parts = {"l1": 2.0 * (y - x).abs().mean(), "kl": posterior.kl().mean()}
        loss = parts["l1"] + self.kl_weight * parts["kl"]
        if self.perceptual_loss is not None:
            parts["perceptual"] = self.perceptual_loss(y, x)
            loss = loss + self.perceptual_weight * parts["perceptual"]
        return loss, parts

    def scores(self, pixels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        x = to_unit(pixels)
        return {"psnr": psnr(self._reconstruction(x), x).mean()}

    def pictures(self, pixels: Tensor, generator: torch.Generator) -> Row:
        x = to_unit(pixels)
        return [("image", x), ("reconstruction", self._reconstruction(x))]

    def compiled_modules(self) -> Sequence[nn.Module]:
        return (self.network.encoder, self.network.decoder)

    def _reconstruction(self, x: Tensor) -> Tensor:
        return from_signed(self.network(to_signed(x))).clamp(0, 1)


class PosteriorMeanTask(Task):
    """Mean squared error of the estimate of a clean image from its degraded version (section 2.2, stage 1).

    Examples:
        >>> from pmrf_blocks.degradations import Denoising
        >>> from pmrf_blocks.estimators import UNet
        >>> task = PosteriorMeanTask(UNet(widths=(8, 16), blocks=(1, 1)), Denoising())
        >>> loss, _ = task(torch.rand(2, 3, 16, 16), torch.Generator().manual_seed(0))
        >>> loss.shape
        torch.Size([])
    """

    def __init__(self, network: nn.Module, degradation: Degradation) -> None:
        super().__init__(network)
        self.degradation = degradation

    def forward(self, pixels: Pixels, generator: torch.Generator) -> LossAndParts:
        degraded, target = degrade(self.degradation, pixels, generator)
        loss = F.mse_loss(self.network(degraded).float(), target)
        return loss, {}

    def scores(self, pixels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        degraded, target = degrade(self.degradation, pixels, generator)
        estimate = self.network(degraded).float().clamp(0, 1)
        return {"psnr": psnr(estimate, target).mean(), "psnr_degraded": psnr(degraded, target).mean()}

    def pictures(self, pixels: Tensor, generator: torch.Generator) -> Row:
        degraded, target = degrade(self.degradation, pixels, generator)
        estimate = self.network(degraded).float().clamp(0, 1)
        return [("degraded", degraded), ("posterior mean", estimate), ("image", target)]


@torch.no_grad()
def latent_statistics(autoencoder: SimVAE, batches: Iterable[Tensor]) -> tuple[float, float]:
    """(scaling_factor, shift_factor) that bring the modes of uint8 image batches to zero mean and unit variance.

    Examples:
        >>> from pmrf_blocks.autoencoders import SimVAE
        >>> vae = SimVAE(latent_channels=2, channels=(8, 16), blocks_per_level=1, middle_blocks=1)
        >>> images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
        >>> scale, shift = latent_statistics(vae, [images[:2], images[2:]])
        >>> with torch.no_grad():
        ...     z = scale * (vae.encode(images / 127.5 - 1).mode() - shift)  # what a flow is trained on
        >>> round(z.std(correction=0).item(), 3)
        1.0
    """
    count, total, squares = 0, 0.0, 0.0
    device = next(autoencoder.parameters()).device
    for pixels in batches:
        z = autoencoder.encode(to_signed(to_unit(pixels.to(device)))).mode().double()
        count, total, squares = count + z.numel(), total + float(z.sum()), squares + float(z.square().sum())
    if count == 0:
        raise ValueError("latent statistics need at least one batch")
    mean = total / count
    return 1.0 / math.sqrt(squares / count - mean**2), mean
