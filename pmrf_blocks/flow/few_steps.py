"""What makes a flow take few steps: straighter pairs (reflow) and average velocities (MeanFlow).

The third, consistency_flow_matching_loss(), is in losses.py. Times run from the source, 0, to the target, 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pmrf_blocks.flow.evaluation import Evaluation, Velocity
from pmrf_blocks.flow.losses import check_pair, check_time, interpolate, promote
from pmrf_blocks.flow.solvers import Solver, integrate

AverageVelocity = Callable[[Tensor, Tensor, Tensor], Tensor]


@torch.no_grad()
def reflow_pairs(velocity: Velocity, x0: Tensor, steps: int = 100, solver: Solver = "euler") -> tuple[Tensor, Tensor]:
    """(x0, x1) with x1 where the flow carries x0 (B, ...): pairs on which rectified_flow_loss() trains a straighter
    flow with the same ends (Liu et al., 2023, section 2.2). Neither has a gradient.

    Raises ValueError as integrate() does.

    Examples:
        >>> x0, x1 = reflow_pairs(lambda x, t: torch.ones_like(x), torch.zeros(1, 2), steps=4)
        >>> x1
        tensor([[1., 1.]])
    """
    x1 = integrate(velocity, x0, steps, solver).x
    return x0.to(x1.dtype), x1


def sample_time_pairs(
    batch: int,
    *,
    instantaneous: float = 0.75,
    mean: float = -0.4,
    std: float = 1.0,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Times (t, s), (B,) each, with 0 <= t <= s <= 1, for mean_flow_loss() (Geng et al., 2025, section 4.3).

    Two logit-normal draws, sigmoid(mean + std * n), put in order; with probability `instantaneous` both are the one
    nearer to the source, so that the velocity itself is trained. The paper counts time from the data to the noise: the
    draws are its times, turned round.

    Raises ValueError for fewer than one time or a probability outside [0, 1].

    Examples:
        >>> t, s = sample_time_pairs(8, generator=torch.Generator().manual_seed(0))
        >>> bool((t <= s).all())
        True
    """
    if batch < 1 or not 0.0 <= instantaneous <= 1.0:
        raise ValueError(f"batch must be at least 1 and instantaneous in [0, 1]; got {batch} and {instantaneous}")
    draws = 1.0 - torch.sigmoid(mean + std * torch.randn(2, batch, generator=generator, device=device))
    same = torch.rand(batch, generator=generator, device=device) < instantaneous
    t = draws.amin(0)
    return t, torch.where(same, t, draws.amax(0))


def mean_flow_loss(
    average_velocity: AverageVelocity,
    x0: Tensor,
    x1: Tensor,
    *,
    times: tuple[Tensor, Tensor] | None = None,
    power: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """MeanFlow's loss (Geng et al., 2025, eq. 9 to 11), a scalar: trains u(x, t, s), the average over [t, s] of the
    velocity that carries x from t, so that x + (s - t) u(x, t, s) is where the flow is at s.

    Differentiated by t, (s - t) u = integral of v gives u = v + (s - t) du/dt along the path. The right side, with
    v = x1 - x0 and du/dt by one forward-mode derivative, is the target and has no gradient.

    Arguments:
        average_velocity: callable (x, t, s) -> like x, with t and s of shape (B,); forward-mode differentiable.
        x0, x1: source and target, one shape (B, ...).
        times: (t, s), (B,) each, t <= s; sample_time_pairs() with `generator` when None.
        power: images are weighed by 1 / (squared error + 0.001)^power; 0 is the plain mean square.

    Raises ValueError where shapes differ, times are not ordered or `power` is negative.

    Examples:
        >>> x0, x1 = torch.zeros(4, 2), torch.ones(4, 2)
        >>> mean_flow_loss(lambda x, t, s: torch.ones_like(x), x0, x1).item() < 1e-9
        True
    """
    check_pair(x0, x1)
    if power < 0:
        raise ValueError(f"power must be at least 0; got {power}")
    t, s = sample_time_pairs(len(x0), generator=generator, device=x0.device) if times is None else times
    check_time(t, len(x0))
    check_time(s, len(x0))
    if bool((t > s).any()):
        raise ValueError("times must be ordered, t <= s")
    t, s, v = t.to(x0), s.to(x0), x1 - x0
    x_t = interpolate(x0, x1, t)
    tangents = (v, torch.ones_like(t), torch.zeros_like(s))
    u, slope = torch.func.jvp(average_velocity, (x_t, t, s), tangents)[:2]
    target = promote(v) + (promote(s) - promote(t)).view(-1, *(1,) * (x0.ndim - 1)) * promote(slope)
    error = (promote(u) - target.detach()).square().flatten(1).mean(1)
    return (error / (error.detach() + 1e-3) ** power).mean()


def integrate_mean_flow(average_velocity: AverageVelocity, x0: Tensor, steps: int = 1) -> Tensor:
    """Carry x0 (B, ...) from time 0 to 1 in `steps` jumps of an average velocity (Geng et al., 2025, eq. 12).

    Raises ValueError for fewer than one step, or an average velocity of another shape than x0.

    Examples:
        >>> integrate_mean_flow(lambda x, t, s: torch.ones_like(x), torch.zeros(1, 2), steps=1)
        tensor([[1., 1.]])
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    x = promote(x0)
    for step in range(steps):
        start, end = (x.new_full((len(x),), (step + place) / steps) for place in (0, 1))
        jump = Evaluation(lambda x, t, end=end: average_velocity(x, t, end), x)  # type: ignore[misc]
        x = x + jump(x, start) / steps
    return x
