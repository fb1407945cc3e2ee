"""A training step of the latent flow, beside the plain way to write it: eager, contiguous, float32."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from benchmarks.comparison import Build, Call, Comparison, Goal, Missing, Settings, name_of
from benchmarks.needs import Need, count
from pmrf_blocks.flow import rectified_flow_loss
from pmrf_blocks.training.precision import bfloat16_where
from pmrf_blocks.transformers import HourglassTransformer, Level, latent_pmrf_hdit

LATENT = 32


def architecture(settings: Settings, **options: bool | str) -> nn.Module:
    if settings.tiny:
        levels = (Level(64, 1, kernel_size=5), Level(64, 1, "global"))
        return HourglassTransformer(in_channels=LATENT, levels=levels, patch_size=1, mapping_width=32, **options)  # type: ignore[arg-type]
    return latent_pmrf_hdit(**options)


def network_of(settings: Settings, **options: bool | str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return architecture(settings, **options).to(settings.device).train()


def training(
    batch: int, size: int, settings: Settings, *, fast: bool, recomputed: bool = False, compiled: bool = False
) -> Build:
    """One loss, its gradients and an AdamW update. `fast` is how training/ runs: bfloat16 under autocast where the
    device has it, tiled or native neighborhood attention; layers `recomputed` in the backward pass, or kept for it;
    `compiled` by torch's compiler or not."""
    half = fast and torch.bfloat16 in settings.dtypes

    def build() -> Call:
        if compiled and settings.tiny:
            raise Missing("its compilation takes a minute; left out of --tiny")
        options: dict[str, bool | str] = {"gradient_checkpointing": recomputed} if fast else {"backend": "dense"}
        network = network_of(settings, **options)
        if compiled:
            network.compile(dynamic=False)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, fused=fast)
        generator = torch.Generator().manual_seed(0)
        x0, x1 = (torch.randn(batch, LATENT, size, size, generator=generator).to(settings.device) for _ in range(2))
        t = torch.linspace(0, 1, batch, device=settings.device)

        def call() -> Tensor:
            with torch.enable_grad():
                with bfloat16_where(half, settings.device):
                    loss = rectified_flow_loss(network, x0, x1, t=t)
                loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return loss.detach()

        call()  # compiles it and makes the optimiser's moments: not to be timed, nor counted
        return call

    return build


def need(batch: int, size: int, settings: Settings, dtype: torch.dtype) -> Need:
    """Three times the forward pass's products: the backward pass has two for each. (The counter cannot be asked for
    them: it takes the gradient of a depth-wise convolution's weight for that of a full one.) What is recomputed to
    save memory is no part of it. AdamW reads and writes every parameter and its two moments, in float32."""
    forward = count(lambda: architecture(settings), lambda network, x: network(x, 0.5), batch, LATENT, size, size)
    latents = 4.0 * batch * LATENT * size**2  # the bytes of x0, or of x1
    return Need(3 * forward.operations, 6 * (forward.traffic - 2 * latents) + 2 * latents, dtype)


def comparisons(settings: Settings) -> Iterator[Comparison]:
    batch, size = (2, 16) if settings.tiny else (4, 32)
    dtype = torch.bfloat16 if torch.bfloat16 in settings.dtypes else torch.float32
    ours, kept, compiled = (f"ours ({name_of(dtype)}, {layers})" for layers in ("recomputed", "kept", "kept, compiled"))
    plain = "eager, contiguous, float32, dense attention"
    contenders = {
        ours: training(batch, size, settings, fast=True, recomputed=True),
        kept: training(batch, size, settings, fast=True),
        compiled: training(batch, size, settings, fast=True, compiled=True),
        plain: training(batch, size, settings, fast=False),
    }
    yield Comparison(
        f"training step of Latent-PMRF's transformer, {batch} latents of {LATENT}x{size}x{size}, an image",
        contenders,
        goals=(Goal(plain, 2), Goal(plain, 2, "memory")),
        tolerance=0.05,  # of the first loss; the network starts with a velocity of zero
        units=dict.fromkeys(contenders, batch),
        need=need(batch, size, settings, dtype),
        needs={plain: need(batch, size, settings, torch.float32)},
    )
