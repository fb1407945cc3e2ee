"""Neighborhood attention, kernel 7, 4 heads of 64, on 64x64 pixels: forward, and forward with backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from benchmarks.comparison import Build, Call, Comparison, Goal, Missing, Settings, peer, without_triton
from benchmarks.needs import Need
from pmrf_blocks.attention import neighborhood_attention_2d

HEADS, WIDTH = 4, 64


def inputs(size: int, settings: Settings, dtype: torch.dtype, batch: int = 1, heads: int = HEADS) -> list[Tensor]:
    """q, k, v (B, H, W, N, D) and a gradient of the output."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch, size, size, heads, WIDTH)
    return [torch.randn(shape, generator=generator).to(settings.device, dtype) for _ in range(4)]


def backend(name: str, tensors: list[Tensor], kernel: int, *, backward: bool, settings: Settings) -> Build:
    """Builds the call of one of our backends, by name, or of a peer's function."""

    def build() -> Call:
        attend = _function(name, settings)
        if backward and name in ("natten", "flex") and settings.device.type == "cpu":
            raise Missing("FlexAttention, which natten calls too, has no backward pass on a CPU")
        if name == "flex":
            attend(*tensors[:3], kernel)  # compiles it: not to be timed
        if not backward:
            return lambda: attend(*tensors[:3], kernel)
        leaves = [x.clone().requires_grad_() for x in tensors[:3]]

        def call() -> tuple[Tensor, ...]:
            with torch.enable_grad():
                out = attend(*leaves, kernel)
                return (out.detach(), *torch.autograd.grad(out, leaves, tensors[3]))

        return call

    return build


def _function(name: str, settings: Settings) -> Callable[..., Tensor]:
    if name == "natten":
        na2d = peer("natten").na2d
        return lambda q, k, v, kernel: na2d(q, k, v, kernel_size=kernel)
    if name == "flex" and settings.tiny:
        raise Missing("its compilation takes a minute; left out of --tiny")
    if name == "triton" and (reason := without_triton(settings)):
        raise Missing(reason)
    return partial(neighborhood_attention_2d, backend=name)


def need(size: int, kernel: int, dtype: torch.dtype, *, backward: bool) -> Need:
    """Operations that the definition asks for; the backward pass has two products for each, and what is computed once
    more to save memory is no part of it. Bytes of q, k, v and the output, each moved once (backward: all of them and
    their gradients)."""
    values = float(HEADS * size**2 * WIDTH)
    passes = 3 if backward else 1
    return Need(passes * 4 * kernel**2 * values, passes * 4 * values * dtype.itemsize, dtype)


def comparisons(settings: Settings) -> Iterator[Comparison]:
    size, kernel = (20, 5) if settings.tiny else (64, 7)
    tensors = inputs(size, settings, torch.float32)
    for backward in (False, True):
        names = {"ours": "auto", "dense masked SDPA": "dense", "compiled FlexAttention": "flex", "natten": "natten"}
        goals = (Goal("natten", 200), Goal("dense masked SDPA", 15), Goal("compiled FlexAttention", 4))
        yield Comparison(
            f"neighborhood attention {size}x{size}, kernel {kernel}, {'forward + backward' if backward else 'forward'}",
            {label: backend(name, tensors, kernel, backward=backward, settings=settings)
             for label, name in names.items()},
            goals=(Goal("dense masked SDPA", 8),) if backward else goals,
            need=need(size, kernel, torch.float32, backward=backward),
        )  # fmt: skip
