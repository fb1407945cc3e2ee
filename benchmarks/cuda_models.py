"""Whole networks: eager, compiled, and replayed as CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.autoencoder import LATENT, channels, channels_last, images, need, seeded
from benchmarks.comparison import Build, Call, Comparison, Missing, Settings, name_of
from benchmarks.transformer import need as step_need
from benchmarks.transformer import network_of
from pmrf_blocks.autoencoders import SimVAE

Function = Callable[[Tensor], Tensor]


def running(function: Function, x: Tensor, mode: str) -> Build:
    """'eager', 'compiled' or 'graph' (eager kernels, recorded once and replayed)."""

    def build() -> Call:
        if mode == "eager":
            return lambda: function(x)
        if x.device.type != "cuda":
            raise Missing("needs CUDA")
        if mode == "compiled":
            compiled = torch.compile(function, dynamic=False)
            compiled(x)  # not to be timed
            return lambda: compiled(x)
        return recorded(function, x)

    return build


def recorded(function: Function, x: Tensor) -> Call:
    """The function on x as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # what is chosen or compiled at first use must not fall into the recording
            function(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = function(x)

    def call() -> Tensor:
        graph.replay()
        return out

    return call


def comparisons(settings: Settings) -> Iterator[Comparison]:
    if settings.device.type != "cuda" and not settings.tiny:
        raise Missing("needs CUDA")
    modes = {"ours, eager": "eager", "compiled": "compiled", "CUDA graph": "graph"}
    for dtype, tolerance in settings.tolerances({torch.bfloat16: 0.1, torch.float32: 1e-3}):
        name = name_of(dtype)
        vae = seeded(SimVAE, LATENT, channels=channels(settings), settings=settings)
        vae = channels_last(vae, dtype)
        for size in (32,) if settings.tiny else (256, 512):
            x = images(size, settings, dtype)
            yield Comparison(
                f"Sim-VAE, encode + decode, {size}x{size}, {name}",
                {label: running(lambda x: vae.decode(vae.encode(x).mode()), x, mode) for label, mode in modes.items()},  # noqa: B023
                tolerance=tolerance,
                need=need(SimVAE, size, settings, dtype),
            )
        network = network_of(settings).to(dtype)
        for size in (64,) if settings.tiny else (256, 512):
            x = images(size, settings, dtype)
            yield Comparison(
                f"PMRF's transformer, one step, {size}x{size}, {name}",
                {label: running(lambda x: network(x, 0.5), x, mode) for label, mode in modes.items()},  # noqa: B023
                tolerance=tolerance,
                need=step_need(size, settings, dtype),
            )
