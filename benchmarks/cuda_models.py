"""Whole networks: eager, compiled, replayed as CUDA graphs, and on our Triton kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.autoencoder import LATENT, channels, channels_last, images, need, seeded
from benchmarks.comparison import Build, Call, Comparison, Missing, Settings, name_of
from benchmarks.transformer import LATENT_PMRF, PMRF, Velocity, given, network_of
from benchmarks.transformer import need as step_need
from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.kernels import optimize

Function = Callable[[Tensor], Tensor]
MODES = {"ours, eager": "eager", "compiled": "compiled", "CUDA graph": "graph"}


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
    for size in (0,) if settings.tiny else (256, 512):  # every network at one size before any at the next
        for dtype, tolerance in settings.tolerances({torch.bfloat16: 0.1, torch.float32: 1e-3}):
            yield step_of(LATENT_PMRF, size or LATENT_PMRF.tiny, dtype, tolerance, settings)
            yield autoencoding(size or 32, dtype, tolerance, settings)
            yield step_of(PMRF, size or PMRF.tiny, dtype, tolerance, settings)


def step_of(velocity: Velocity, size: int, dtype: torch.dtype, tolerance: float, settings: Settings) -> Comparison:
    network = network_of(settings, velocity).to(dtype)
    x = given(size, settings, dtype, velocity)
    contenders = {label: running(lambda x: network(x, 0.5), x, mode) for label, mode in MODES.items()}

    def fused() -> Call:
        if x.device.type != "cuda":
            raise Missing("needs CUDA")
        triton = network_of(settings, velocity, triton=True).to(dtype)
        triton.set_backend("triton")  # type: ignore[operator]
        return lambda: triton(x, 0.5)

    return Comparison(
        f"{velocity.title(size)}, {name_of(dtype)}",
        {**contenders, "ours, Triton kernels": fused},
        tolerance=tolerance,
        need=step_need(size, settings, dtype, velocity),
    )


def autoencoding(size: int, dtype: torch.dtype, tolerance: float, settings: Settings) -> Comparison:
    def network(*, triton: bool = False) -> SimVAE:
        made = seeded(SimVAE, LATENT, channels=channels(settings), settings=settings)
        if triton:
            optimize(made, triton=True)
        return channels_last(made, dtype)

    x, vae = images(size, settings, dtype), network()

    def fused() -> Call:
        if x.device.type != "cuda":
            raise Missing("needs CUDA")
        triton = network(triton=True)
        return lambda: triton.decode(triton.encode(x).mode())

    return Comparison(
        f"Sim-VAE, encode + decode, {size}x{size}, {name_of(dtype)}",
        {
            **{label: running(lambda x: vae.decode(vae.encode(x).mode()), x, mode) for label, mode in MODES.items()},
            "ours, Triton kernels": fused,
        },
        tolerance=tolerance,
        need=need(SimVAE, size, settings, dtype),
    )
