"""Encoding and decoding: Sim-VAE f8c32 beside diffusers' AutoencoderKL f8c32, and SD-VAE as both have it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.comparison import Build, Call, Comparison, Goal, Settings, name_of, peer
from benchmarks.needs import Need, count
from pmrf_blocks.autoencoders import SDVAE, SimVAE, load_autoencoder
from pmrf_blocks.kernels import optimize

LATENT = 32


def channels(settings: Settings) -> tuple[int, ...]:
    return (32, 64) if settings.tiny else (128, 256, 512, 512)


def images(size: int, settings: Settings, dtype: torch.dtype) -> Tensor:
    return (2 * torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)) - 1).to(settings.device, dtype)


def seeded(network: type[nn.Module], *arguments: Any, settings: Settings, **options: Any) -> Any:
    """A network with random weights, the same at every call; optimised where it is ours."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = network(*arguments, **options).to(settings.device).eval()
    if network is SimVAE:
        optimize(made)
    return made


def channels_last(network: nn.Module, dtype: torch.dtype) -> Any:
    return network.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]


def ours(size: int, settings: Settings, dtype: torch.dtype) -> Build:
    """Sim-VAE as it should be run: optimised, channels_last."""

    def build() -> Call:
        network = seeded(SimVAE, LATENT, channels=channels(settings), settings=settings)
        network = channels_last(network, dtype)
        x = images(size, settings, dtype)
        return lambda: network.decode(network.encode(x).mode())

    return build


def diffusers_kl(settings: Settings, dtype: torch.dtype) -> Any:
    """AutoencoderKL of the same size, as its constructor gives it."""
    widths = channels(settings)
    kind = peer("diffusers").AutoencoderKL
    options = {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "block_out_channels": list(widths),
        "layers_per_block": 2,
        "latent_channels": LATENT,
    }
    return seeded(kind, settings=settings, **options).to(dtype)


def theirs(size: int, settings: Settings, dtype: torch.dtype) -> Build:
    def build() -> Call:
        network, x = diffusers_kl(settings, dtype), images(size, settings, dtype)
        return lambda: network.decode(network.encode(x).latent_dist.mode()).sample

    return build


def same_weights(size: int, settings: Settings) -> dict[str, Build]:
    """diffusers' AutoencoderKL, and our SD-VAE that has read its folder."""
    x = images(size, settings, torch.float32)

    def read() -> Call:
        with tempfile.TemporaryDirectory() as folder:
            diffusers_kl(settings, torch.float32).save_pretrained(folder)
            network = load_autoencoder(folder, device=settings.device)
        assert isinstance(network, SDVAE)
        network = channels_last(network, torch.float32)
        optimize(network)
        return lambda: network.decode(network.encode(x).mode())

    return {"ours (SDVAE)": read, "diffusers": theirs(size, settings, torch.float32)}


def need(kind: type[SimVAE], size: int, settings: Settings, dtype: torch.dtype) -> Need:
    """Of encoding and decoding one image."""

    def build() -> nn.Module:
        return kind(LATENT, channels=channels(settings))

    return count(build, lambda network, x: network(x), 1, 3, size, size, dtype=dtype)


def comparisons(settings: Settings) -> Iterator[Comparison]:
    best, default = (torch.bfloat16 if torch.bfloat16 in settings.dtypes else torch.float32), torch.float32
    for size in (32,) if settings.tiny else (256, 512):
        contenders, like, usual = {}, f"diffusers AutoencoderKL, {name_of(best)}", "diffusers AutoencoderKL, float32"
        needs = {}
        for dtype in dict.fromkeys((best, default)):  # ours in the precision that suits the device comes first
            contenders[f"Sim-VAE, {name_of(dtype)}"] = ours(size, settings, dtype)
            contenders[f"diffusers AutoencoderKL, {name_of(dtype)}"] = theirs(size, settings, dtype)
            needs[f"Sim-VAE, {name_of(dtype)}"] = need(SimVAE, size, settings, dtype)
            needs[f"diffusers AutoencoderKL, {name_of(dtype)}"] = need(SDVAE, size, settings, dtype)  # the same layers
        yield Comparison(
            f"autoencoder f8c32, encode + decode, {size}x{size}",
            contenders,
            goals=(Goal(usual, 3), Goal(like, 1.2)),
            tolerance=None,
            unequal="another architecture for the same task (the paper's point); both have random weights",
            need=need(SimVAE, size, settings, best),
            needs=needs,
        )
    size = 32 if settings.tiny else 256
    yield Comparison(
        f"SD-VAE f8c32 with the same weights, encode + decode, {size}x{size}, float32",
        same_weights(size, settings),
        need=need(SDVAE, size, settings, torch.float32),
    )
