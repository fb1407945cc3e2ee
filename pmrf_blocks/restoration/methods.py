"""The published methods as pipelines: PMRF, Latent-PMRF, ELIR, ResShift, the posterior mean alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pmrf_blocks.flow import IntegrationResult, ResidualShift, sample_residual_shift
from pmrf_blocks.restoration.pipelines import Pipeline
from pmrf_blocks.restoration.published import published_parts
from pmrf_blocks.restoration.sources import DegradedSource, LatentMeanSource, PosteriorMeanSource
from pmrf_blocks.restoration.spaces import Latents, Pixels


class PosteriorMean(Pipeline):
    """The estimator alone: the least squared error there is, and blur where the degraded image leaves doubt.

    Arguments are Pipeline's; `estimator` gives the posterior mean of degraded images, both in [0, 1].

    Examples:
        >>> from pmrf_blocks.estimators import UNet
        >>> PosteriorMean(estimator=UNet(widths=(8, 16), blocks=(1, 1)), size=32).restore(torch.rand(1, 3, 32, 32)).nfe
        0
    """

    def __init__(self, *, estimator: nn.Module, size: int) -> None:
        super().__init__(space=Pixels(), source=PosteriorMeanSource(estimator), size=size)

    @property
    def estimator(self) -> Any:
        return self.source.estimator


class PMRF(Pipeline):
    """Posterior-mean rectified flow in pixels (Ohayon et al., 2025): from the mean plus noise to a sharp image.

    Arguments are Pipeline's; `estimator` gives the posterior mean of degraded images, both in [0, 1]. 0.1 is the source
    noise for blind faces.

    Examples:
        >>> from pmrf_blocks.estimators import UNet
        >>> from pmrf_blocks.transformers import HourglassTransformer, Level
        >>> levels = (Level(32, 1, head_dim=16, kernel_size=3),)
        >>> velocity = HourglassTransformer(levels=levels, patch_size=4, mapping_width=32)
        >>> pipeline = PMRF(estimator=UNet(widths=(8, 16), blocks=(1, 1)), velocity=velocity, size=32)
        >>> restored = pipeline.restore(torch.rand(1, 3, 32, 32), steps=4, seed=0)
        >>> restored.image.shape, restored.nfe
        (torch.Size([1, 3, 32, 32]), 4)
    """

    def __init__(
        self,
        *,
        estimator: nn.Module,
        velocity: nn.Module | None,
        size: int,
        source_noise: float = 0.1,
        steps: int = 25,
        solver: str = "euler",
    ) -> None:
        super().__init__(
            space=Pixels(),
            source=PosteriorMeanSource(estimator),
            velocity=velocity,
            size=size,
            source_noise=source_noise,
            steps=steps,
            solver=solver,
        )

    @property
    def estimator(self) -> Any:
        return self.source.estimator

    @classmethod
    def from_published(
        cls,
        path_or_repo: str | Path,
        *,
        ema: bool = True,
        subfolder: str = "",
        variant: str | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        device: str | torch.device = "cpu",
    ) -> PMRF:
        """The released model, in eval mode.

        Arguments:
            path_or_repo: its lightning checkpoint, a .safetensors file, or a folder or hub id
                (ohayonguy/PMRF_blind_face_image_restoration).
            ema: take the velocity's averaged weights where the checkpoint has them; False takes those that were being
                trained.
            subfolder, variant, revision, token, local_files_only: of a folder and of the hub, as load_restorer()'s.

        Raises WeightsError, which says what does not fit.
        """
        hub: Any = {"revision": revision, "token": token, "local_files_only": local_files_only}
        return (
            cls(**published_parts(path_or_repo, ema=ema, subfolder=subfolder, variant=variant, **hub)).to(device).eval()
        )


class LatentPMRF(Pipeline):
    """Latent-PMRF (Luo et al., 2025, section 3.1): a flow between latents of the posterior mean and of sharp images.

    Arguments are Pipeline's, beside these:
        autoencoder: of Latents, in whose normalised latents the velocity was trained.
        estimator: gives the posterior mean of degraded images, both in [0, 1].
        sample: Latents' own: start from a draw of the posterior, as the authors' release does, not from its mode.

    Examples:
        >>> pipeline = LatentPMRF.from_pretrained("bundled")
        >>> pipeline.space.encode(torch.rand(1, 3, 128, 128)).shape  # where it flows
        torch.Size([1, 32, 16, 16])
    """

    def __init__(
        self,
        *,
        autoencoder: nn.Module,
        estimator: nn.Module,
        velocity: nn.Module | None,
        size: int,
        source_noise: float = 0.0,
        steps: int = 25,
        solver: str = "euler",
        sample: bool = False,
    ) -> None:
        super().__init__(
            space=Latents(autoencoder, sample),
            source=PosteriorMeanSource(estimator),
            velocity=velocity,
            size=size,
            source_noise=source_noise,
            steps=steps,
            solver=solver,
        )

    @property
    def autoencoder(self) -> Any:
        return self.space.autoencoder

    @property
    def estimator(self) -> Any:
        return self.source.estimator

    @property
    def sample(self) -> bool:
        return self.space.sample


class ELIR(Pipeline):
    """ELIR's form (Cohen et al., 2025): the flow starts from the posterior mean of latents plus noise.

    Arguments are Pipeline's, beside `autoencoder`, of Latents, and `latent_estimator`, of LatentMeanSource. There is no
    estimate in pixels: Restored.posterior_mean is None unless the first stage is asked for, which is then decoded.

    Examples:
        >>> from pmrf_blocks.autoencoders import SimVAE
        >>> from pmrf_blocks.estimators import RRDB
        >>> vae = SimVAE(latent_channels=4, channels=(8, 16), blocks_per_level=1)
        >>> estimator = RRDB(channels=4, hidden=8, blocks=1)
        >>> pipeline = ELIR(autoencoder=vae, latent_estimator=estimator, velocity=None, size=32)
        >>> restored = pipeline.restore(torch.rand(1, 3, 32, 32))
        >>> restored.image.shape, restored.posterior_mean  # there is none in pixels
        (torch.Size([1, 3, 32, 32]), None)
    """

    def __init__(
        self,
        *,
        autoencoder: nn.Module,
        latent_estimator: nn.Module,
        velocity: nn.Module | None,
        size: int,
        source_noise: float = 0.1,
        steps: int = 25,
        solver: str = "euler",
    ) -> None:
        super().__init__(
            space=Latents(autoencoder),
            source=LatentMeanSource(latent_estimator),
            velocity=velocity,
            size=size,
            source_noise=source_noise,
            steps=steps,
            solver=solver,
        )

    @property
    def autoencoder(self) -> Any:
        return self.space.autoencoder

    @property
    def latent_estimator(self) -> Any:
        return self.source.latent_estimator


class ResShift(Pipeline):
    """ResShift's form (Yue et al., 2023): a diffusion of few steps from the degraded image plus noise to the clean one.

    `velocity` does not give a velocity here, but the clean point of the space, from the state with the degraded point
    as further channels and the time, 0 at the source. It has the name that all pipelines call their network by.

    Arguments are Pipeline's, beside these:
        autoencoder: of Latents, in whose normalised latents the network was trained; None: pixels.
        steps, kappa, least_noise, last, power: of ResidualShift. restore() takes as many steps at most; its
            `source_noise` scales the noise of all of them, and there is no `solver` to choose.

    Examples:
        >>> class Guess(torch.nn.Module):  # the clean image, from the state and the degraded one beside it
        ...     def forward(self, x, t):
        ...         return x[:, 3:]
        >>> pipeline = ResShift(velocity=Guess(), size=32, steps=4)
        >>> pipeline.restore(torch.rand(1, 3, 32, 32)).nfe
        4
    """

    def __init__(
        self,
        *,
        autoencoder: nn.Module | None = None,
        velocity: nn.Module | None,
        size: int,
        steps: int = 4,
        kappa: float = 2.0,
        least_noise: float = 0.2,
        last: float = 0.99,
        power: float = 0.3,
    ) -> None:
        super().__init__(
            space=Pixels() if autoencoder is None else Latents(autoencoder),
            source=DegradedSource(),
            condition=DegradedSource(),
            velocity=velocity,
            size=size,
            source_noise=ResidualShift(steps, kappa, least_noise, last, power).source_noise,
            steps=steps,
        )
        self.kappa, self.least_noise, self.last, self.power = kappa, least_noise, last, power

    @property
    def autoencoder(self) -> Any:
        return getattr(self.space, "autoencoder", None)

    @property
    def shift(self) -> ResidualShift:
        """The transitions that the network was trained with."""
        return ResidualShift(self.steps, self.kappa, self.least_noise, self.last, self.power)

    def _carry(
        self, x: Tensor, condition: Tensor | None, noise_level: float, noise: Sequence[torch.Generator], **options: Any
    ) -> IntegrationResult:
        if options.pop("solver") != self.solver:
            raise ValueError("ResShift samples by its own transitions: there is no solver to choose")
        strength = noise_level / self.source_noise
        return sample_residual_shift(
            lambda x, t: self.drift(x, t, condition), x, self.shift, generator=noise, strength=strength, **options
        )
