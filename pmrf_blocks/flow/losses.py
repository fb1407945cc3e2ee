"""Losses that train a velocity model on pairs (x0, x1) of source and target."""

from __future__ import annotations

import torch
from torch import Tensor

from pmrf_blocks.flow.evaluation import Velocity
from pmrf_blocks.flow.time import sample_time


def interpolate(x0: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """x_t = (1 - t) x0 + t x1 for times (B,) (section 2.1).

    Examples:
        >>> interpolate(torch.zeros(2, 1), torch.ones(2, 1), torch.tensor([0.25, 1.0])).flatten()
        tensor([0.2500, 1.0000])
    """
    t = t.view(-1, *(1,) * (x0.ndim - 1)).to(x0)
    return (1.0 - t) * x0 + t * x1


def rectified_flow_loss(
    velocity: Velocity,
    x0: Tensor,
    x1: Tensor,
    *,
    t: Tensor | None = None,
    generator: torch.Generator | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Squared error of velocity(x_t, t) against x1 - x0, averaged over an image's elements (eq. 2 and 3).

    Arguments:
        x0, x1: source and target, one shape (B, ...); the error is taken in float32 or better.
        t: times (B,) in [0, 1]; drawn uniformly with `generator` when None.
        reduction: 'mean' gives a scalar, 'none' the loss of each image (B,).

    Raises ValueError where shapes differ, or `reduction` is none of these.

    Examples:
        >>> x0, x1 = torch.zeros(4, 2), torch.ones(4, 2)
        >>> rectified_flow_loss(lambda x, t: torch.ones_like(x), x0, x1)  # the velocity x1 - x0 itself
        tensor(0.)
    """
    check_pair(x0, x1)
    if reduction not in ("mean", "none"):
        raise ValueError(f"reduction must be one of 'mean', 'none'; got {reduction!r}")
    if t is None:
        t = sample_time(len(x0), generator=generator, device=x0.device)
    check_time(t, len(x0))
    predicted = velocity(interpolate(x0, x1, t), t)
    error = promote(predicted) - promote(x1 - x0)
    loss = error.square().flatten(1).mean(1)
    return loss.mean() if reduction == "mean" else loss


def consistency_flow_matching_loss(
    velocity: Velocity,
    x0: Tensor,
    x1: Tensor,
    *,
    t: Tensor | None = None,
    segments: int = 5,
    dt: float = 0.05,
    velocity_weight: float = 0.001,
    later_point: str = "free",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Consistency flow matching (Yang et al., 2024) as ELIR trains with it; a scalar.

    Time is cut into `segments`. Two points of one straight path, dt apart, are carried to the end of their segment
    by their own velocities and must meet there, |f_t - f_{t+dt}|^2 with f_t = x_t + (end - t) v(x_t, t); their
    velocities must agree too, weighted by `velocity_weight`. The later point gives no gradient. Where it lies past the
    segment's end, the path's own point at that end takes its place in the distance.

    Arguments:
        x0, x1: source and target, one shape (B, ...); errors are taken in float32 or better.
        t: times (B,) in [0, 1]; drawn uniformly with `generator` when None, from [0, 1 - dt) for a free later point.
        later_point: where the later velocity is taken. 'free', the default and ELIR's code: at t + dt, be it in the
            next segment (1 at most). 'clamped': at the segment's end at most, so that no segment sees the next.

    Raises ValueError where shapes differ, for segments below 1, a dt outside (0, 1), or another `later_point`.

    Examples:
        >>> x0, x1 = torch.zeros(4, 2), torch.ones(4, 2)
        >>> consistency_flow_matching_loss(lambda x, t: torch.ones_like(x), x0, x1).item() < 1e-9
        True
    """
    check_pair(x0, x1)
    if segments < 1 or not 0.0 < dt < 1.0:
        raise ValueError(f"segments must be at least 1 and dt in (0, 1); got {segments}, {dt}")
    if later_point not in ("free", "clamped"):
        raise ValueError(f"later_point must be one of 'free', 'clamped'; got {later_point!r}")
    if t is None:
        t = sample_time(len(x0), generator=generator, device=x0.device)
        t = t * (1.0 - dt) if later_point == "free" else t
    check_time(t, len(x0))
    end = (torch.floor(t * segments).clamp(max=segments - 1) + 1.0) / segments
    later = (t + dt).clamp(max=1.0) if later_point == "free" else torch.minimum(t + dt, end)
    x_t, x_later, x_end = (interpolate(x0, x1, time) for time in (t, later, end))
    v_t = promote(velocity(x_t, t))
    with torch.no_grad():
        v_later = promote(velocity(x_later, later))
        shape = (-1, *(1,) * (x0.ndim - 1))
        carried = x_later + (end - later).view(shape) * v_later
        # at the end of a segment f is the point of the path itself: the boundary condition of the method
        carried = torch.where((later >= end).view(shape), x_end, carried)
    arrived = x_t + (end - t).view(shape) * v_t
    distance = (arrived - carried).square().mean()
    return distance + velocity_weight * (v_t - v_later).square().mean()


def promote(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def check_pair(x0: Tensor, x1: Tensor) -> None:
    if x0.shape != x1.shape or x0.ndim < 2:
        raise ValueError(f"x0 and x1 must have one shape (B, ...); got {tuple(x0.shape)} and {tuple(x1.shape)}")


def check_time(t: Tensor, batch: int) -> None:
    if t.shape != (batch,):
        raise ValueError(f"t must be (B,) = ({batch},); got {tuple(t.shape)}")
