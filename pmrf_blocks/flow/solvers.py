"""Solvers of dx/dt = velocity(x, t) from t = 0 to t = 1 (eq. 1) in equal steps; adaptive.py has those that choose."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pmrf_blocks.flow.adaptive import Adaptive, Dopri5
from pmrf_blocks.flow.evaluation import Evaluation, Velocity, combine

Progress = Callable[[int, int], None]
Step = Callable[[Evaluation, Tensor, float, float], Tensor]


@dataclass(frozen=True)
class Tableau:
    """Butcher tableau of an explicit method: stage i sits at c[i], built from the stages before it with a[i].

    Examples:
        >>> midpoint = Tableau(order=2, a=((), (0.5,)), b=(0.0, 1.0), c=(0.0, 0.5))
        >>> integrate(lambda x, t: -x, torch.ones(1, 1), steps=4, solver=midpoint).nfe
        8
    """

    order: int
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    c: tuple[float, ...]

    @property
    def stages(self) -> int:
        return len(self.b)


SOLVERS: dict[str, Tableau] = {
    "euler": Tableau(order=1, a=((),), b=(1.0,), c=(0.0,)),
    "midpoint": Tableau(order=2, a=((), (0.5,)), b=(0.0, 1.0), c=(0.0, 0.5)),
    "heun": Tableau(order=2, a=((), (1.0,)), b=(0.5, 0.5), c=(0.0, 1.0)),
    "rk4": Tableau(
        order=4,
        a=((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)),
        b=(1 / 6, 1 / 3, 1 / 3, 1 / 6),
        c=(0.0, 0.5, 0.5, 1.0),
    ),
}
Solver = str | Tableau | Adaptive | Step
ADAPTIVE: dict[str, Adaptive] = {"dopri5": Dopri5()}


@dataclass(frozen=True)
class IntegrationResult:
    """`x` at the end; `nfe`, how often the velocity was evaluated; `trajectory`, the state at the start and after
    every step, when asked for.

    Examples:
        >>> path = integrate(lambda x, t: -x, torch.ones(1, 1), steps=4, return_trajectory=True).trajectory
        >>> len(path)
        5
    """

    x: Tensor
    nfe: int
    trajectory: tuple[Tensor, ...] | None = None


def list_solvers() -> list[str]:
    """Names that integrate() takes: those of SOLVERS, whose steps are equal, then the adaptive ones.

    Examples:
        >>> "euler" in list_solvers()
        True
    """
    return [*SOLVERS, *ADAPTIVE]


def find_solver(solver: Solver) -> Tableau | Adaptive | Step:
    """The solver of this name, or the tableau or function itself; ValueError, with all names, for anything else.

    Examples:
        >>> find_solver("heun").order
        2
    """
    if isinstance(solver, str):
        if solver in SOLVERS:
            return SOLVERS[solver]
        if solver in ADAPTIVE:
            return ADAPTIVE[solver]
    elif isinstance(solver, (Tableau, Adaptive)) or (callable(solver) and not isinstance(solver, type)):
        return solver
    raise ValueError(f"solver must be one of {', '.join(map(repr, list_solvers()))}; got {solver!r}")


def integrate(
    velocity: Velocity,
    x0: Tensor,
    steps: int = 25,
    solver: Solver = "euler",
    *,
    t0: float = 0.0,
    t1: float = 1.0,
    return_trajectory: bool = False,
    progress: Progress | None = None,
) -> IntegrationResult:
    """Carry x0 (B, ...) along the velocity in `steps` equal steps, or in those that an adaptive solver chooses.

    Arguments:
        velocity: callable (x, t) -> dx/dt with t of shape (B,); its result may be of lower precision.
        solver: one of list_solvers(), a Tableau, an adaptive solver such as Dopri5(rtol=1e-4), or a function of one's
            own step(velocity, x, t, h) -> x at t + h, with numbers t and h, where velocity(x, t) takes the number too.
            Compare solvers at equal `nfe`, not at equal steps.
        t0, t1: where to start and end.
        progress: called as progress(done, steps) after each step.

    The state is kept in float32 at least: with bfloat16's 8 bits a step of 1 / 25 would vanish in the rounding.
    Gradients flow through; wrap the call in torch.no_grad() for inference.

    Raises ValueError for an unknown solver, steps that are no whole number from 1 up, times that are not finite, an x0
    that is no float tensor (B, ...), and a velocity or a step of another shape than x.

    Examples:
        >>> result = integrate(lambda x, t: -x, torch.ones(1, 1), steps=10, solver="heun")
        >>> round(result.x.item(), 3), result.nfe  # exp(-1) is 0.368
        (0.369, 20)
    """
    method = find_solver(solver)
    steps = _check_steps(steps)
    if not (math.isfinite(t0) and math.isfinite(t1)):
        raise ValueError(f"t0 and t1 must be finite; got {t0} and {t1}")
    if x0.ndim < 1 or not x0.is_floating_point():
        raise ValueError(f"x0 must be a float tensor (B, ...); got {x0.dtype} {tuple(x0.shape)}")
    x = x0 if x0.dtype == torch.float64 else x0.float()
    evaluate = Evaluation(velocity, x)
    trajectory = [x]

    def keep(state: Tensor, done: int) -> None:
        if return_trajectory:
            trajectory.append(state)
        if progress is not None:
            progress(done, steps)

    if isinstance(method, Adaptive):
        x = method.solve(evaluate, x, t0, t1, lambda state, share: keep(state, math.floor(share * steps)))
    else:
        h = (t1 - t0) / steps
        for step in range(steps):

            def at(c: float, step: int = step) -> float:
                return t0 + (t1 - t0) * ((step + c) / steps)

            if isinstance(method, Tableau):
                x = runge_kutta(method, evaluate, x, at, h)
            else:
                x = evaluate.check(method(evaluate, x, at(0.0), h), "the solver's step")
            keep(x, step + 1)
    return IntegrationResult(x, evaluate.count, tuple(trajectory) if return_trajectory else None)


def runge_kutta(table: Tableau, evaluate: Evaluation, x: Tensor, at: Callable[[float], float], h: float) -> Tensor:
    """One step of size h; at(c) is the time of a stage at c of it."""
    slopes: list[Tensor] = []
    for row, c in zip(table.a, table.c):
        slopes.append(evaluate(combine(x, h, row, slopes), at(c)))
    return combine(x, h, table.b, slopes)


def _check_steps(steps: int) -> int:
    try:
        whole = operator.index(steps)
    except TypeError:
        raise ValueError(f"steps must be a whole number; got {steps!r}") from None
    if whole < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    return whole
