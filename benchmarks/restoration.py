"""The whole way at 512x512, 25 steps: Latent-PMRF, encoding and decoding included, beside PMRF in pixels."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from benchmarks.autoencoder import LATENT, channels, seeded
from benchmarks.autoencoder import need as autoencoding
from benchmarks.comparison import Build, Call, Comparison, Goal, Settings, name_of
from benchmarks.needs import Need, count
from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.kernels import optimize
from pmrf_blocks.restoration import PMRF, LatentPMRF, Pipeline
from pmrf_blocks.transformers import HourglassTransformer, Level, latent_pmrf_hdit, pmrf_hdit


def latent_velocity(settings: Settings) -> HourglassTransformer:
    if settings.tiny:
        return HourglassTransformer(in_channels=LATENT, levels=(Level(64, 1),), patch_size=1, mapping_width=32)
    return latent_pmrf_hdit()


def pixel_velocity(settings: Settings) -> HourglassTransformer:
    return HourglassTransformer(levels=(Level(64, 1),), mapping_width=32) if settings.tiny else pmrf_hdit()


def latent(size: int, settings: Settings) -> Pipeline:
    autoencoder = seeded(SimVAE, LATENT, channels=channels(settings), settings=settings)
    velocity = latent_velocity(settings)
    return LatentPMRF(autoencoder=autoencoder, estimator=nn.Identity(), velocity=velocity, size=size)


def pixels(size: int, settings: Settings) -> Pipeline:
    return PMRF(estimator=nn.Identity(), velocity=pixel_velocity(settings), size=size)


def restoring(make: type[Pipeline], size: int, steps: int, settings: Settings, dtype: torch.dtype) -> Build:
    def build() -> Call:
        restorer = (latent if make is LatentPMRF else pixels)(size, settings).to(settings.device).eval()
        optimize(restorer)
        x = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)).to(settings.device)
        return lambda: restorer.restore(x, steps=steps, dtype=dtype).image

    return build


def needs(size: int, steps: int, settings: Settings, dtype: torch.dtype) -> dict[str, Need]:
    """Of both contenders: every step reads all parameters again, for they outgrow caches."""

    def step(network: nn.Module, x: Tensor) -> Tensor:
        return network(x, 0.5)

    side = size // 2 ** (len(channels(settings)) - 1)
    in_latents = count(lambda: latent_velocity(settings), step, 1, LATENT, side, side, dtype=dtype)
    in_pixels = count(lambda: pixel_velocity(settings), step, 1, 3, size, size, dtype=dtype)
    return {
        "Latent-PMRF": autoencoding(SimVAE, size, settings, dtype) + steps * in_latents,
        "PMRF in pixels": steps * in_pixels,
    }


def comparisons(settings: Settings) -> Iterator[Comparison]:
    size, steps = (32, 2) if settings.tiny else (512, 25)
    for dtype in settings.dtypes:
        each = needs(size, steps, settings, dtype)
        yield Comparison(
            f"restore {size}x{size}, {steps} steps, {name_of(dtype)}",
            {
                "Latent-PMRF": restoring(LatentPMRF, size, steps, settings, dtype),
                "PMRF in pixels": restoring(PMRF, size, steps, settings, dtype),
            },
            goals=(Goal("PMRF in pixels", 1 / 0.8),),
            tolerance=None,
            unequal="two models; random weights, and the posterior mean, which both share, is left out of both",
            need=each["Latent-PMRF"],
            needs=each,
        )
