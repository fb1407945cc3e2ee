"""A velocity as solvers call it: counted, checked, in the state's precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]


class Evaluation:
    """evaluate(x, t) -> dx/dt like the state x (B, ...), with t a number or (B,); `count` says how often.

    Raises ValueError where the velocity is no tensor of x's shape: another one would broadcast in silence.
    """

    def __init__(self, velocity: Velocity, like: Tensor) -> None:
        self.velocity, self.like, self.count = velocity, like, 0

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        self.count += 1
        times = t if isinstance(t, Tensor) and t.ndim else x.new_full(x.shape[:1], float(t))
        return self.check(self.velocity(x, times.to(x)), "the velocity")

    def check(self, result: Tensor, name: str) -> Tensor:
        """`result` in the state's precision; ValueError where it has another shape."""
        if not isinstance(result, Tensor) or result.shape != self.like.shape:
            got = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise ValueError(f"{name} must have the shape of x, {tuple(self.like.shape)}; got {got}")
        return result.to(self.like.dtype)


def combine(x: Tensor, h: float | Tensor, weights: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    """x + h * (sum of weights * slopes)."""
    for weight, slope in zip(weights, slopes):
        if weight:
            x = x + (h * weight) * slope
    return x
