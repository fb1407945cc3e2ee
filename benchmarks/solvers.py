"""What a solver costs beside its velocity: integrate(), the loop written by hand, and torchdiffeq."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from benchmarks.comparison import Build, Call, Comparison, Settings, name_of, peer
from benchmarks.needs import Need, count
from benchmarks.training_step import LATENT
from benchmarks.transformer import LATENT_PMRF, network_of
from pmrf_blocks.flow import SOLVERS, Dopri5, Solver, integrate

Velocity = Callable[[Tensor, Tensor], Tensor]
Loop = Callable[[Velocity, Tensor, Tensor, float], Tensor]
ERROR = 1e-5  # rtol and atol of the adaptive solver, ours and torchdiffeq's


def decay(x: Tensor, t: Tensor) -> Tensor:
    """A velocity that costs one kernel. It is linear, so that every method of one order takes the same step."""
    return -x


def euler(v: Velocity, x: Tensor, t: Tensor, h: float) -> Tensor:
    return x + h * v(x, t)


def midpoint(v: Velocity, x: Tensor, t: Tensor, h: float) -> Tensor:
    return x + h * v(x + h / 2 * v(x, t), t + h / 2)


def heun(v: Velocity, x: Tensor, t: Tensor, h: float) -> Tensor:
    a = v(x, t)
    return x + h / 2 * (a + v(x + h * a, t + h))


def rk4(v: Velocity, x: Tensor, t: Tensor, h: float) -> Tensor:
    a = v(x, t)
    b = v(x + h / 2 * a, t + h / 2)
    c = v(x + h / 2 * b, t + h / 2)
    return x + h / 6 * (a + 2 * b + 2 * c + v(x + h * c, t + h))


BY_HAND: Mapping[str, Loop] = {"euler": euler, "midpoint": midpoint, "heun": heun, "rk4": rk4}
THEIR_NAMES = {"euler": "euler", "midpoint": "midpoint", "heun": "heun2", "rk4": "rk4", "dopri5": "dopri5"}


def ours(solver: Solver, x: Tensor, steps: int) -> Build:
    return lambda: lambda: integrate(decay, x, steps, solver).x


def by_hand(step: Loop, velocity: Velocity, x: Tensor, steps: int) -> Build:
    def call() -> Tensor:
        state = x
        for index in range(steps):
            state = step(velocity, state, x.new_full((len(x),), index / steps), 1 / steps)
        return state

    return lambda: call


def with_torchdiffeq(name: str, velocity: Velocity, x: Tensor, steps: int) -> Build:
    def build() -> Call:
        odeint = peer("torchdiffeq").odeint
        grid = torch.linspace(0, 1, 2 if name == "dopri5" else steps + 1, device=x.device)
        options = {"method": THEIR_NAMES[name], "rtol": ERROR, "atol": ERROR}
        return lambda: odeint(lambda t, state: velocity(state, t), x, grid, **options)[-1]

    return build


def comparisons(settings: Settings) -> Iterator[Comparison]:
    batch, side, steps = (2, 4, 3) if settings.tiny else (1, 32, 25)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, LATENT, side, side, generator=generator).to(settings.device)
    latents = f"{LATENT}x{side}x{side}"
    for name in SOLVERS:
        contenders = {
            "ours": ours(name, x, steps),
            "the loop by hand": by_hand(BY_HAND[name], decay, x, steps),
            "torchdiffeq": with_torchdiffeq(name, decay, x, steps),
        }
        yield Comparison(
            f"{name} on a velocity that costs nothing, {batch} latents of {latents}, a step of {steps}",
            contenders,
            tolerance=1e-5,
            units=dict.fromkeys(contenders, steps),
        )
    yield Comparison(
        f"dopri5 on a velocity that costs nothing, {batch} latents of {latents}, errors of {ERROR:g}",
        {
            "ours": ours(Dopri5(rtol=ERROR, atol=ERROR), x, steps),
            "torchdiffeq": with_torchdiffeq("dopri5", decay, x, steps),
        },
        tolerance=1e-3,  # both are within their errors of exp(-1) x, by steps of their own
    )
    yield on_a_network(x, 5, settings)


def on_a_network(x: Tensor, steps: int, settings: Settings) -> Comparison:
    """Where a solver's own cost is to be judged: beside the network that it calls."""
    dtype = torch.bfloat16 if torch.bfloat16 in settings.dtypes else torch.float32
    network = network_of(settings, LATENT_PMRF).to(dtype)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return network(x.to(dtype), t.to(dtype))

    contenders: dict[str, Build] = {
        "ours": lambda: lambda: integrate(velocity, x, steps).x,
        "the loop by hand": by_hand(euler, velocity, x, steps),
    }
    one = count(lambda: LATENT_PMRF.build(settings), lambda n, x: n(x, 0.5), *x.shape, dtype=dtype)
    return Comparison(
        f"Euler steps of Latent-PMRF's transformer, {len(x)} latents of {LATENT}x{x.shape[-1]}x{x.shape[-1]}, "
        f"{name_of(dtype)}, a step of {steps}",
        contenders,
        tolerance=1e-3 if dtype == torch.float32 else 3e-2,
        units=dict.fromkeys(contenders, steps),
        need=Need(steps * one.operations, steps * one.traffic, dtype),
    )
