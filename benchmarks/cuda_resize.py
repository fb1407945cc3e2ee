"""Resizing layers of the autoencoders: memory layouts, and what torch.compile makes of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from benchmarks.comparison import Build, Call, Comparison, Missing, Settings, name_of
from benchmarks.needs import count
from pmrf_blocks.autoencoders.resize import Downsample, NearestUpsample, PixelShuffleUpsample


def running(layer: nn.Module, x: torch.Tensor, *, layout: torch.memory_format, compiled: bool) -> Build:
    def build() -> Call:
        if compiled and x.device.type != "cuda":
            raise Missing("compiled for CUDA alone")
        network = copy.deepcopy(layer).to(memory_format=layout)  # type: ignore[call-overload]
        images = x.contiguous(memory_format=layout)
        call = torch.compile(network) if compiled else network
        call(images)  # what is compiled at first use is not to be timed
        return lambda: call(images)

    return build


def comparisons(settings: Settings) -> Iterator[Comparison]:
    if settings.device.type != "cuda" and not settings.tiny:
        raise Missing("needs CUDA")
    width, size = (16, 16) if settings.tiny else (256, 256)
    for dtype, tolerance in settings.tolerances({torch.float32: 1e-3, torch.bfloat16: 3e-2}):
        x = torch.randn(1, width, size, size, generator=torch.Generator().manual_seed(0)).to(settings.device, dtype)
        for kind in (Downsample, NearestUpsample, PixelShuffleUpsample):
            options = {"asymmetric": False} if kind is Downsample else {}
            with torch.random.fork_rng():
                torch.manual_seed(0)
                layer = kind(width, width, **options).to(settings.device, dtype)
            yield Comparison(
                f"{kind.__name__}, {width} channels, {size}x{size}, {name_of(dtype)}",
                {
                    "channels_last": running(layer, x, layout=torch.channels_last, compiled=False),
                    "contiguous": running(layer, x, layout=torch.contiguous_format, compiled=False),
                    "channels_last, compiled": running(layer, x, layout=torch.channels_last, compiled=True),
                },
                tolerance=tolerance,
                need=count(partial(kind, width, width, **options), lambda layer, x: layer(x), *x.shape, dtype=dtype),
            )
