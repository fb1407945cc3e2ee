"""Solvers of dx/dt = velocity(x, t) from t = 0 to t = 1 (eq. 1): explicit Runge-Kutta methods from one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Tableau:
    """Butcher tableau of an explicit method: stage i sits at c[i], built from the stages before it with a[i]."""

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


@dataclass(frozen=True)
class IntegrationResult:
    """`x` at the end; `nfe`, how often the velocity was evaluated; `trajectory`, steps + 1 states, when asked for."""

    x: Tensor
    nfe: int
    trajectory: tuple[Tensor, ...] | None = None


def integrate(
    velocity: Callable[[Tensor, Tensor], Tensor],
    x0: Tensor,
    steps: int = 25,
    solver: str = "euler",
    *,
    t0: float = 0.0,
    t1: float = 1.0,
    return_trajectory: bool = False,
    progress: Progress | None = None,
) -> IntegrationResult:
    """Carry x0 (B, ...) along the velocity in `steps` equal steps.

    Arguments:
        velocity: callable (x, t) -> dx/dt with t of shape (B,); its result may be of lower precision.
        solver: a name in SOLVERS. Compare solvers at equal `nfe` (= steps * stages), not at equal steps.
        t0, t1: where to start and end.
        progress: called as progress(done, steps) after each step.

    The state is kept in float32 at least: with bfloat16's 8 bits a step of 1 / 25 would vanish in the rounding.
    Gradients flow through; wrap the call in torch.no_grad() for inference.

    Raises ValueError for an unknown solver, fewer than one step, or an x0 that is no float tensor (B, ...).
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(map(repr, SOLVERS))}; got {solver!r}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    if x0.ndim < 1 or not x0.is_floating_point():
        raise ValueError(f"x0 must be a float tensor (B, ...); got {x0.dtype} {tuple(x0.shape)}")
    table = SOLVERS[solver]
    x = x0 if x0.dtype == torch.float64 else x0.float()
    trajectory = [x]
    h = (t1 - t0) / steps
    for step in range(steps):
        slopes: list[Tensor] = []
        for i in range(table.stages):
            inner = x
            for weight, slope in zip(table.a[i], slopes):
                if weight:
                    inner = inner + (h * weight) * slope
            time = t0 + (t1 - t0) * ((step + table.c[i]) / steps)
            slopes.append(velocity(inner, x.new_full((len(x),), time)).to(x.dtype))
        for weight, slope in zip(table.b, slopes):
            if weight:
                x = x + (h * weight) * slope
        if return_trajectory:
            trajectory.append(x)
        if progress is not None:
            progress(step + 1, steps)
    return IntegrationResult(x, steps * table.stages, tuple(trajectory) if return_trajectory else None)
