"""Solvers that choose their steps by an estimate of the error, for every image of a batch on its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pmrf_blocks.flow.evaluation import Evaluation, combine

Keep = Callable[[Tensor, float], None]

# Dormand and Prince, 1980: seven stages, the last of which is the next step's first.
C = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
A: tuple[tuple[float, ...], ...] = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (
    35 / 384 - 5179 / 57600, 0.0, 500 / 1113 - 7571 / 16695, 125 / 192 - 393 / 640, -2187 / 6784 + 92097 / 339200,
    11 / 84 - 187 / 2100, -1 / 40,
)  # fmt: skip
ORDER = 5
SAFETY, MOST_GROWTH, MOST_SHRINKING = 0.9, 10.0, 0.2


class Adaptive(ABC):
    """A solver that integrate() leaves the choice of steps to.

    Examples:
        >>> isinstance(find_solver("dopri5"), Adaptive), isinstance(find_solver("euler"), Adaptive)
        (True, False)
    """

    @abstractmethod
    def solve(self, evaluate: Evaluation, x: Tensor, t0: float, t1: float, keep: Keep) -> Tensor:
        """x (B, ...) carried from t0 to t1; keep(state, share of the way done) is called after every step."""


@dataclass(frozen=True)
class Dopri5(Adaptive):
    """Dormand and Prince's pair of orders 5 and 4, as SciPy's RK45 and torchdiffeq's dopri5 choose steps.

    The error of a step, estimated as the difference of both orders, must not exceed atol + rtol * |x| in the root mean
    square over an image's elements. Each image of a batch has steps of its own, so that its result does not depend on
    the others; a batch takes as many evaluations as its most demanding image: 6 a step, and 2 to begin with.

    Where the velocity is not a number, the image's result is not either, as with every other solver.

    Arguments:
        rtol, atol: relative and absolute tolerance.
        max_steps: after so many tries, refused ones included, RuntimeError says how far it came.

    Examples:
        >>> start = torch.ones(1, 1, dtype=torch.float64)
        >>> result = integrate(lambda x, t: -x, start, solver=Dopri5(rtol=1e-6, atol=1e-6))
        >>> abs(result.x.item() - 0.3678794) < 1e-5
        True
    """

    rtol: float = 1e-5
    atol: float = 1e-5
    max_steps: int = 1000

    def __post_init__(self) -> None:
        if not (0.0 <= self.rtol < 1.0 and 0.0 < self.atol < float("inf")) or self.max_steps < 1:
            raise ValueError(
                f"rtol must be in [0, 1), atol positive and max_steps at least 1; got {self.rtol}, {self.atol}, "
                f"{self.max_steps}"
            )

    def solve(self, evaluate: Evaluation, x: Tensor, t0: float, t1: float, keep: Keep) -> Tensor:
        if t0 == t1 or not x.numel():
            return x
        way, shape = t1 - t0, (-1, *(1,) * (x.ndim - 1))
        done = torch.zeros(len(x), dtype=torch.float64, device=_clock(x))  # share of the way, for each image
        slope = evaluate(x, t0)
        share = self._first_step(evaluate, x, slope, t0, way)
        for _ in range(self.max_steps):
            last = done + share >= 1.0 - 1e-12
            share = torch.where(last, 1.0 - done, share)
            slopes = [slope]
            h = (way * share).to(x).view(shape)
            for row, c in zip(A[1:], C[1:]):
                inner = combine(x, h, row, slopes)
                slopes.append(evaluate(inner, t0 + way * (done + c * share)))
            error = combine(torch.zeros_like(x), h, ERROR, slopes)
            ratio = self._norm(error, x, inner)  # the last stage sits at the step's result
            lost = torch.isnan(ratio)
            good = (ratio <= 1.0) | lost
            x = torch.where(good.view(shape).to(x.device), inner, x)
            slope = torch.where(good.view(shape).to(x.device), slopes[-1], slope)
            done = torch.where(good, torch.where(last | lost, torch.ones_like(done), done + share), done)
            if bool(good.any()):
                keep(x, float(done.min()))
            if bool((done >= 1.0).all()):
                return x
            growth = (SAFETY * ratio.nan_to_num(nan=1.0).clamp(min=1e-10) ** (-1.0 / ORDER)).clamp(
                MOST_SHRINKING, MOST_GROWTH
            )
            share = share * torch.where(good, growth.clamp(min=1.0), growth)
        at = t0 + way * float(done.min())
        raise RuntimeError(f"dopri5 came to t = {at:.4g} of {t1:g} in {self.max_steps} steps: allow larger errors")

    def _norm(self, error: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Root mean square of the error over what is allowed, (B,), float64."""
        allowed = self.atol + self.rtol * torch.maximum(before.abs(), after.abs())
        return _rms((error / allowed).detach())

    def _first_step(self, evaluate: Evaluation, x: Tensor, slope: Tensor, t0: float, way: float) -> Tensor:
        """Share of the way, (B,), by the rule of Hairer, Norsett and Wanner, 1993, section II.4."""
        shape = (-1, *(1,) * (x.ndim - 1))
        with torch.no_grad():
            allowed = self.atol + self.rtol * x.abs()
            size, speed = _rms(x / allowed), _rms(slope / allowed)
            small = torch.where((size < 1e-5) | (speed < 1e-5), 1e-6 * torch.ones_like(size), 0.01 * size / speed)
            small = small.clamp(max=abs(way))
            direction = 1.0 if way > 0 else -1.0
            ahead = evaluate(x + (direction * small).to(x).view(shape) * slope, t0 + direction * small)
            bend = _rms((ahead - slope) / allowed) / small
            largest = torch.maximum(speed, bend)
            step = torch.where(largest <= 1e-15, (small * 1e-3).clamp(min=1e-6), (0.01 / largest) ** (1.0 / ORDER))
            return (torch.minimum(100.0 * small, step) / abs(way)).nan_to_num(nan=1.0).clamp(max=1.0)


def _rms(x: Tensor) -> Tensor:
    return x.flatten(1).to(_clock(x), torch.float64).square().mean(1).sqrt() if x.ndim > 1 else _rms(x[:, None])


def _clock(x: Tensor) -> torch.device:
    """Where steps are kept in float64: MPS has none."""
    return torch.device("cpu") if x.device.type == "mps" else x.device
