"""One step of PMRF's transformer (160 M) at 256x256, with our attention and with what it is published with."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from benchmarks.comparison import Build, Call, Comparison, Goal, Missing, Settings, name_of, peer
from benchmarks.needs import Need, count
from pmrf_blocks.kernels import optimize
from pmrf_blocks.transformers import HourglassTransformer, Level, pmrf_hdit


def architecture(settings: Settings) -> HourglassTransformer:
    if settings.tiny:
        return HourglassTransformer(levels=(Level(64, 1, kernel_size=5), Level(64, 1, "global")), mapping_width=32)
    return pmrf_hdit(augmentation=False)


def network_of(settings: Settings) -> HourglassTransformer:
    """Optimised; random weights, the same at every call, none of them zero, so that outputs depend on every layer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = architecture(settings)
        for parameter in network.parameters():
            if parameter.ndim > 1 and not bool(parameter.any()):
                nn.init.normal_(parameter, std=0.02)
    optimize(network)
    return network.to(settings.device).eval()


def step(name: str, size: int, settings: Settings, dtype: torch.dtype = torch.float32) -> Build:
    """One velocity on 3 x size x size pixels with an attention backend."""

    def build() -> Call:
        if name == "natten":
            peer("natten")
        if name == "flex" and settings.tiny:
            raise Missing("its compilation takes a minute; left out of --tiny")
        network = network_of(settings).to(dtype)
        network.set_backend(name)
        x = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1)).to(settings.device, dtype)
        return lambda: network(x, 0.5)

    return build


def need(size: int, settings: Settings, dtype: torch.dtype) -> Need:
    """Of one velocity on one image."""
    return count(lambda: architecture(settings), lambda network, x: network(x, 0.5), 1, 3, size, size, dtype=dtype)


def comparisons(settings: Settings) -> Iterator[Comparison]:
    size = 64 if settings.tiny else 256
    for dtype, tolerance in settings.tolerances({torch.float32: 1e-3, torch.bfloat16: 0.1}):
        yield Comparison(
            f"PMRF's transformer, one step, {size}x{size}, {name_of(dtype)}",
            {
                "ours": step("auto", size, settings, dtype),
                "on natten": step("natten", size, settings, dtype),
                "on dense masked attention": step("dense", size, settings, dtype),
            },
            goals=(Goal("on natten", 5), Goal("on dense masked attention", 2)),
            tolerance=tolerance,
            need=need(size, settings, dtype),
        )
