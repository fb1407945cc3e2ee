"""Decoding a large image in tiles: the same result in a fraction of the memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.autoencoder import LATENT, channels, channels_last, seeded
from benchmarks.comparison import Comparison, Goal, Settings, name_of
from benchmarks.needs import count
from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.kernels import give_back_memory


def comparisons(settings: Settings) -> Iterator[Comparison]:
    side, tile = (12, 6) if settings.tiny else (256, 64)  # quarters: 11 % more operations than untiled
    generator = torch.Generator().manual_seed(0)
    for dtype, tolerance in settings.tolerances({torch.float32: 1e-4, torch.bfloat16: 2e-2}):
        network = seeded(SimVAE, LATENT, channels=channels(settings), settings=settings)
        network = channels_last(network, dtype)
        z = torch.randn(1, LATENT, side, side, generator=generator).to(settings.device, dtype)
        # Of the whole latent at once: what tiles compute twice is no part of the limit.
        need = count(
            lambda: SimVAE(LATENT, channels=channels(settings)).decoder,
            lambda decoder, x: decoder(x),
            *z.shape,
            dtype=dtype,
        )
        pixels = side * network.downsampling
        yield Comparison(
            f"decode to {pixels}x{pixels}, {name_of(dtype)}",
            {
                f"tiles of {tile} latents": partial(
                    partial, network.decode_tiled, z, tile=tile, before_layer=give_back_memory
                ),
                "untiled": partial(partial, network.decode, z),
            },
            goals=(Goal("untiled", 6, "memory"), Goal("untiled", 1 / 1.15)),
            tolerance=tolerance,
            need=need,
        )
