"""One step of the two transformers, with our attention and with what they are published with: PMRF's (160 M) on pixels,
Latent-PMRF's (150 M) on the latents of an image of the same size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks import training_step
from benchmarks.comparison import Build, Call, Comparison, Goal, Missing, Settings, name_of, peer
from benchmarks.needs import Need, count
from pmrf_blocks.kernels import optimize
from pmrf_blocks.transformers import HourglassTransformer, Level, pmrf_hdit

TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 0.1}


def architecture(settings: Settings) -> HourglassTransformer:
    """PMRF's."""
    if settings.tiny:
        return HourglassTransformer(levels=(Level(64, 1, kernel_size=5), Level(64, 1, "global")), mapping_width=32)
    return pmrf_hdit(augmentation=False)


@dataclass(frozen=True)
class Velocity:
    """A transformer, and what it sees of an image of `size` pixels: (channels, size // shrunk, size // shrunk); `tiny`
    is the size for a test."""

    name: str
    build: Callable[[Settings], nn.Module]
    tiny: int
    channels: int = 3
    shrunk: int = 1

    def shape(self, size: int) -> tuple[int, int, int, int]:
        return 1, self.channels, size // self.shrunk, size // self.shrunk

    def title(self, size: int) -> str:
        latents = "" if self.shrunk == 1 else f" in latents of {size // self.shrunk}"
        return f"{self.name}, one step, {size}x{size}{latents}"


PMRF = Velocity("PMRF's transformer", architecture, 64)
LATENT_PMRF = Velocity("Latent-PMRF's transformer", training_step.architecture, 128, training_step.LATENT, 8)


def network_of(settings: Settings, velocity: Velocity = PMRF, *, triton: bool = False) -> nn.Module:
    """Optimised; random weights, the same at every call, none of them zero, so that outputs depend on every layer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = velocity.build(settings)
        for parameter in network.parameters():
            if parameter.ndim > 1 and not bool(parameter.any()):
                nn.init.normal_(parameter, std=0.02)
    optimize(network, triton=triton)
    return network.to(settings.device).eval()


def given(size: int, settings: Settings, dtype: torch.dtype, velocity: Velocity = PMRF) -> Tensor:
    """Its input for an image of `size` pixels."""
    return torch.rand(velocity.shape(size), generator=torch.Generator().manual_seed(1)).to(settings.device, dtype)


def step(
    name: str, size: int, settings: Settings, dtype: torch.dtype = torch.float32, velocity: Velocity = PMRF
) -> Build:
    """One velocity on an image of size x size pixels with an attention backend."""

    def build() -> Call:
        if name == "natten":
            peer("natten")
        if name == "flex" and settings.tiny:
            raise Missing("its compilation takes a minute; left out of --tiny")
        network = network_of(settings, velocity).to(dtype)
        network.set_backend(name)  # type: ignore[operator]
        x = given(size, settings, dtype, velocity)
        return lambda: network(x, 0.5)

    return build


def need(size: int, settings: Settings, dtype: torch.dtype, velocity: Velocity = PMRF) -> Need:
    """Of one velocity on one image."""
    return count(
        lambda: velocity.build(settings), lambda network, x: network(x, 0.5), *velocity.shape(size), dtype=dtype
    )


def comparisons(settings: Settings) -> Iterator[Comparison]:
    for velocity in (PMRF, LATENT_PMRF):
        size = velocity.tiny if settings.tiny else 256
        goals = (Goal("on natten", 5), Goal("on dense masked attention", 2)) if velocity is PMRF else ()
        for dtype, tolerance in settings.tolerances(TOLERANCES):
            yield Comparison(
                f"{velocity.title(size)}, {name_of(dtype)}",
                {
                    "ours": step("auto", size, settings, dtype, velocity),
                    "on natten": step("natten", size, settings, dtype, velocity),
                    "on dense masked attention": step("dense", size, settings, dtype, velocity),
                },
                goals=goals,
                tolerance=tolerance,
                need=need(size, settings, dtype, velocity),
            )
