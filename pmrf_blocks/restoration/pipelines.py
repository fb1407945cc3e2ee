"""The restorers: PMRF in pixels, Latent-PMRF, and the posterior mean alone (figure 2).

All take and give RGB in [0, 1], (B, 3, H, W), of any size. Each image of a batch has its own noise, drawn from its
own seed, so that a result does not depend on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pmrf_blocks.flow import SOLVERS, integrate
from pmrf_blocks.restoration.errors import NonFiniteError
from pmrf_blocks.restoration.published import published_parts
from pmrf_blocks.restoration.saving import SavedPipeline
from pmrf_blocks.seeding import derive_generator

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Restored:
    """What restore() gives: `image` and `posterior_mean` (B, 3, H, W) in [0, 1]; `nfe`, velocity evaluations."""

    image: Tensor
    posterior_mean: Tensor
    nfe: int


class Restorer(nn.Module, SavedPipeline):
    """Base of the pipelines. The networks given are brought to channels_last memory, in which they are faster.

    Arguments:
        estimator: network from degraded image to posterior mean, both in [0, 1].
        size: shorter side, in pixels, that the networks were trained at; photographs are brought to it first.
        source_noise: standard deviation of the noise on the flow's source, as in training.
        steps: solver steps when restore() is not told.
    """

    estimator: nn.Module

    def __init__(
        self, *, estimator: nn.Module, size: int, source_noise: float = 0.0, steps: int = 25, **networks: nn.Module
    ) -> None:
        super().__init__()
        if size < 1 or steps < 1 or source_noise < 0:
            raise ValueError(
                f"size and steps must be at least 1 and source_noise at least 0; got {size}, {steps}, {source_noise}"
            )
        for name, network in {"estimator": estimator, **networks}.items():
            setattr(self, name, network.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
        self.size, self.source_noise, self.steps = size, source_noise, steps

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @torch.no_grad()
    def restore(
        self,
        images: Tensor,
        *,
        steps: int | None = None,
        solver: str = "euler",
        seed: int | Sequence[int] = 0,
        source_noise: float | None = None,
        posterior_mean_only: bool = False,
        dtype: torch.dtype = torch.float32,
        progress: Progress | None = None,
        tile: int | None = None,
    ) -> Restored:
        """Restore degraded images.

        Arguments:
            images: (B, 3, H, W) in [0, 1], at about the scale `size`.
            steps: solver steps; None takes the model's own.
            solver: 'euler', 'midpoint', 'heun' or 'rk4'.
            seed: of the source noise; one for all images (each then has the same noise) or one an image.
            source_noise: None takes the model's own; 0 makes the result deterministic.
            posterior_mean_only: stop after the first stage: least distortion, blurred.
            dtype: torch.bfloat16 runs the networks under autocast; the flow's state stays float32.
            progress: called as progress(done, steps) after each solver step.
            tile: LatentPMRF encodes and decodes this many pixels squared at a time, in bounded memory; a Sim-VAE's
                result is the same. For images far beyond `size`; estimator and flow still see the whole.

        Raises ValueError for a bad argument, NonFiniteError naming the stage where values stop being finite.
        """
        steps = self.steps if steps is None else steps
        noise_level = self.source_noise if source_noise is None else source_noise
        self._check(images, steps, solver, noise_level)
        images = images.to(self.device, torch.float32)
        seeds = [seed] * len(images) if isinstance(seed, int) else list(seed)
        if len(seeds) != len(images):
            raise ValueError(f"seed must be one number or one an image; got {len(seeds)} for {len(images)} images")
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            mean = finite("posterior mean", self.estimator(images).float()).clamp(0, 1)
            if posterior_mean_only:
                return Restored(mean, mean, 0)
            source = self._source(mean, tile)
            if noise_level:
                source = source + noise_level * self._noise(source, seeds)
            flow = integrate(self._velocity, source, steps=steps, solver=solver, progress=progress)
            image = self._image(finite("flow", flow.x), (mean.shape[-2], mean.shape[-1]), tile)
        return Restored(finite("decode", image).clamp(0, 1), mean, flow.nfe)

    def _source(self, mean: Tensor, tile: int | None) -> Tensor:
        """Where the flow starts, from the clipped posterior mean."""
        raise NotImplementedError

    def _velocity(self, x: Tensor, t: Tensor) -> Tensor:
        raise NotImplementedError

    def _image(self, x: Tensor, size: tuple[int, int], tile: int | None) -> Tensor:
        """The image (B, 3, *size) from where the flow ends."""
        raise NotImplementedError

    @staticmethod
    def _noise(like: Tensor, seeds: Sequence[int]) -> Tensor:
        rows = [torch.randn(like.shape[1:], generator=derive_generator("source", seed)) for seed in seeds]
        return torch.stack(rows).to(like)  # drawn on the CPU: the same picture on every device

    @staticmethod
    def _check(images: Tensor, steps: int, solver: str, noise_level: float) -> None:
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(f"images must be a float tensor (B, 3, H, W); got {images.dtype} {tuple(images.shape)}")
        if solver not in SOLVERS:
            raise ValueError(f"solver must be one of {', '.join(map(repr, SOLVERS))}; got {solver!r}")
        if steps < 1:
            raise ValueError(f"steps must be at least 1; got {steps}")
        if noise_level < 0:
            raise ValueError(f"source_noise must be at least 0; got {noise_level}")
        finite("input", images)


class PosteriorMean(Restorer):
    """The estimator alone: the least squared error there is, and blur where the degraded image leaves doubt."""

    def __init__(self, *, estimator: nn.Module, size: int) -> None:
        super().__init__(estimator=estimator, size=size)

    def restore(self, images: Tensor, **options: Any) -> Restored:
        """As Restorer.restore() with posterior_mean_only."""
        return super().restore(images, **{**options, "posterior_mean_only": True})


class PMRF(Restorer):
    """Posterior-mean rectified flow in pixels (Ohayon et al., 2025): from the mean plus noise to a sharp image."""

    velocity: nn.Module

    def __init__(
        self, *, estimator: nn.Module, velocity: nn.Module, size: int, source_noise: float = 0.1, steps: int = 25
    ) -> None:
        super().__init__(estimator=estimator, velocity=velocity, size=size, source_noise=source_noise, steps=steps)

    @classmethod
    def from_published(cls, path_or_repo: str | Path, *, device: str | torch.device = "cpu") -> PMRF:
        """The released model: its lightning checkpoint, a .safetensors file, or a folder or hub id
        (ohayonguy/PMRF_blind_face_image_restoration), in eval mode. WeightsError says what does not fit."""
        return cls(**published_parts(path_or_repo)).to(device).eval()

    def _source(self, mean: Tensor, tile: int | None) -> Tensor:
        return mean

    def _velocity(self, x: Tensor, t: Tensor) -> Tensor:
        return self.velocity(x, t).float()

    def _image(self, x: Tensor, size: tuple[int, int], tile: int | None) -> Tensor:
        return x


class LatentPMRF(Restorer):
    """Latent-PMRF (section 3.1): the flow runs between latents of the posterior mean and of sharp images.

    `autoencoder` encodes images in [-1, 1] to a posterior and decodes latents; its normalize() and denormalize()
    give the latents in which the velocity was trained.
    """

    autoencoder: Any
    velocity: nn.Module

    def __init__(
        self,
        *,
        autoencoder: nn.Module,
        estimator: nn.Module,
        velocity: nn.Module,
        size: int,
        source_noise: float = 0.0,
        steps: int = 25,
    ) -> None:
        super().__init__(
            autoencoder=autoencoder,
            estimator=estimator,
            velocity=velocity,
            size=size,
            source_noise=source_noise,
            steps=steps,
        )

    def _source(self, mean: Tensor, tile: int | None) -> Tensor:
        x = 2.0 * mean - 1.0
        posterior = self.autoencoder.encode(x) if tile is None else self.autoencoder.encode_tiled(x, tile=tile)
        return finite("encode", self.autoencoder.normalize(posterior.mode().float()))

    def _velocity(self, x: Tensor, t: Tensor) -> Tensor:
        return self.velocity(x, t).float()

    def _image(self, x: Tensor, size: tuple[int, int], tile: int | None) -> Tensor:
        z = self.autoencoder.denormalize(x)
        if tile is None:
            image = self.autoencoder.decode(z)
        else:
            image = self.autoencoder.decode_tiled(z, tile=max(1, tile // self.autoencoder.downsampling))
        return 0.5 * (image[..., : size[0], : size[1]].float() + 1.0)


def finite(stage: str, x: Tensor) -> Tensor:
    """x itself; NonFiniteError(stage) where any value is infinite or not a number."""
    if not bool(torch.isfinite(x).all()):
        raise NonFiniteError(stage)
    return x
