"""Attention backends over resolutions, kernels and precisions, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.attention import HEADS, WIDTH, backend, inputs, need
from benchmarks.comparison import Build, Call, Comparison, Missing, Settings, peer, without_triton
from benchmarks.cuda_norms import ending, running
from pmrf_blocks.attention.dense import neighborhood_mask
from pmrf_blocks.attention.windows import Window
from pmrf_blocks.kernels.neighborhood import neighborhood_reference

DENSEST = 64  # beyond this side the dense forms' masks, and the formula's keys, outgrow what anybody would use
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 5e-3}


def xformers(size: int, kernel: int, settings: Settings, dtype: torch.dtype, *, backward: bool) -> Build:
    """Memory-efficient attention over all pixels under an additive mask."""

    def build() -> Call:
        attend = peer("xformers.ops", "xformers").memory_efficient_attention
        if settings.device.type != "cuda":
            raise Missing("xformers needs CUDA")
        seen = neighborhood_mask((size, size), Window((kernel, kernel)), settings.device)
        bias = torch.zeros(seen.shape, device=settings.device, dtype=dtype).masked_fill(~seen, float("-inf"))
        bias = bias.expand(1, HEADS, -1, -1)
        leaves = [x.flatten(1, 2).requires_grad_(backward) for x in inputs(size, settings, dtype)]

        def call() -> tuple[torch.Tensor, ...]:
            with torch.set_grad_enabled(backward):
                out = attend(*leaves[:3], attn_bias=bias)
                found = torch.autograd.grad(out, leaves[:3], leaves[3].detach()) if backward else ()
            return tuple(x.detach().unflatten(1, (size, size)) for x in (out, *found))

        return call if backward else lambda: call()[0]

    return build


def formula(tensors: list[torch.Tensor], kernel: int, *, backward: bool, compiled: bool) -> Build:
    """What the kernel is a fused form of, in torch's own operators, eager or as torch.compile has it."""

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return neighborhood_reference(q, k, v, (kernel, kernel), (1, 1), q.shape[-1] ** -0.5)

    return running(attend, tensors[:3], backward=backward, compiled=compiled, cotangents=tensors[3:])


def comparisons(settings: Settings) -> Iterator[Comparison]:
    cuda = settings.device.type == "cuda"
    if not cuda and not settings.tiny:
        raise Missing("needs CUDA")
    sizes, kernels = ((8,), (3,)) if settings.tiny else ((64, 128, 32, 256), (7, 13))
    for kernel in kernels:
        for size in sizes:
            for dtype, tolerance in settings.tolerances(TOLERANCES):
                for backward in (False, True):
                    yield compared(size, kernel, dtype, tolerance, backward, settings)


def compared(
    size: int, kernel: int, dtype: torch.dtype, tolerance: float, backward: bool, settings: Settings
) -> Comparison:
    names = {"ours": "tiled" if without_triton(settings) else "triton", "FlexAttention": "flex",
             "natten": "natten", "tiled": "tiled"}  # fmt: skip
    tensors = inputs(size, settings, dtype)
    contenders = {
        label: backend(name, tensors, kernel, backward=backward, settings=settings) for label, name in names.items()
    }
    if size <= DENSEST:
        contenders["the formula"] = formula(tensors, kernel, backward=backward, compiled=False)
        contenders["the formula, compiled"] = formula(tensors, kernel, backward=backward, compiled=True)
        contenders["dense SDPA"] = backend("dense", tensors, kernel, backward=backward, settings=settings)
        contenders["dense xformers"] = xformers(size, kernel, settings, dtype, backward=backward)
    return Comparison(
        f"neighborhood attention {size}x{size}, {HEADS} heads of {WIDTH}, kernel {kernel}, {ending(dtype, backward)}",
        contenders,
        tolerance=tolerance,
        need=need(size, kernel, dtype, backward=backward),
    )
