"""Pipelines of a few thousand weights, one of each composition."""

import torch

from pmrf_blocks.autoencoders import SDVAE, SimVAE
from pmrf_blocks.estimators import RRDB, UNet
from pmrf_blocks.restoration import (
    ELIR,
    PMRF,
    DegradedSource,
    LatentPMRF,
    Latents,
    Pipeline,
    PosteriorMean,
    PosteriorMeanSource,
    ResShift,
    flow_conditioned_on_degraded,
    flow_conditioned_on_mean,
    flow_from_degraded,
)
from pmrf_blocks.transformers import HourglassTransformer, Level

SETTINGS = {"size": 16, "source_noise": 0.1, "steps": 2}


def filled(module, seed=0):
    """The module with weights that all do something."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def seeded(make, **arguments):
    """A module that is the same at every call."""
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(0)
        return filled(make(**arguments))


def unet():
    return seeded(UNet, widths=(8, 8), blocks=(1, 1))


def vae(kind=SimVAE):
    design = {"channels": (8, 8), "blocks_per_level": 1, "scaling_factor": 0.8, "shift_factor": 0.1}
    if kind is SDVAE:
        return seeded(SDVAE, latent_channels=4, norm_groups=4, middle_blocks=2, **design)
    return seeded(SimVAE, latent_channels=4, middle_blocks=1, **design)


def velocity(in_channels, out_channels=None, patch_size=1):
    levels = (Level(16, 1, kernel_size=3, head_dim=16),)
    channels = {"in_channels": in_channels, "out_channels": out_channels or in_channels}
    return seeded(HourglassTransformer, **channels, patch_size=patch_size, levels=levels, mapping_width=16)


def latent_pmrf(**changes):
    parts = {"autoencoder": vae(), "estimator": unet(), "velocity": velocity(4)}
    return LatentPMRF(**{**parts, **SETTINGS, **changes})


def pmrf(**changes):
    return PMRF(estimator=unet(), velocity=velocity(3, patch_size=4), **{**SETTINGS, **changes})


def elir(**changes):
    rrdb = seeded(RRDB, channels=4, hidden=8, blocks=1)
    parts = {"autoencoder": vae(SDVAE), "latent_estimator": rrdb, "velocity": velocity(4)}
    return ELIR(**parts, **{**SETTINGS, **changes})


def both_see_the_mean():
    """Latents drawn from the posterior; source and condition share an estimator."""
    mean = PosteriorMeanSource(unet())
    return Pipeline(
        space=Latents(vae(), sample=True), source=mean, condition=PosteriorMeanSource(mean.estimator),
        velocity=velocity(8, 4), solver="heun", **SETTINGS,
    )  # fmt: skip


def two_estimators():
    """Source and condition have different networks of one name."""
    other = PosteriorMeanSource(filled(unet(), 5))
    return Pipeline(
        space=Latents(vae()), source=PosteriorMeanSource(unet()), condition=other, velocity=velocity(8, 4), **SETTINGS
    )


COMPOSITIONS = {
    "Latent-PMRF": latent_pmrf,
    "PMRF": pmrf,
    "posterior mean": lambda: PosteriorMean(estimator=unet(), size=16),
    "ELIR": elir,
    "flow from y": lambda: flow_from_degraded(velocity=velocity(3, patch_size=4), **SETTINGS),
    "flow conditioned on y": lambda: flow_conditioned_on_degraded(velocity=velocity(6, 3, 4), size=16, steps=2),
    "flow conditioned on mean": lambda: flow_conditioned_on_mean(
        estimator=unet(), velocity=velocity(6, 3, 4), size=16, steps=2
    ),
    "from y in latents": lambda: Pipeline(
        space=Latents(vae()), source=DegradedSource(), velocity=velocity(4), **SETTINGS
    ),
    "source and condition": both_see_the_mean,
    "two estimators": two_estimators,
    "ResShift": lambda: ResShift(autoencoder=vae(), velocity=velocity(8, 4), size=16, steps=3),
    "ResShift in pixels": lambda: ResShift(velocity=velocity(6, 3, 4), size=16, kappa=0.5, least_noise=0.05),
}
