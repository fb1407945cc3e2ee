"""Times, sources and losses against closed forms."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pmrf_blocks.flow import (
    DISTRIBUTIONS,
    add_source_noise,
    consistency_flow_matching_loss,
    rectified_flow_loss,
    sample_time,
)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_times_lie_in_the_unit_interval_and_reproduce(distribution):
    state = torch.get_rng_state()
    a, b = (sample_time(500, distribution=distribution, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(a, b)
    assert a.shape == (500,)
    assert 0 <= float(a.min()) < 0.1 < 0.9 < float(a.max()) <= 1
    assert torch.equal(state, torch.get_rng_state())


@given(batch=st.integers(1, 9), world=st.integers(1, 4), seed=st.integers(0, 99))
def test_every_stratum_is_hit_once_over_all_processes(batch, world, seed):
    times = torch.cat(
        [
            sample_time(
                batch, distribution="stratified", generator=torch.Generator().manual_seed(seed + rank),
                rank=rank, world_size=world, dtype=torch.float64,
            )
            for rank in range(world)
        ]
    )  # fmt: skip
    assert sorted((times * batch * world).floor().long().tolist()) == list(range(batch * world))


def test_logit_normal_has_its_median_at_the_sigmoid_of_the_mean(generator):
    t = sample_time(20_000, distribution="logit-normal", mean=0.8, std=1.5, generator=generator)
    assert float(t.median()) == pytest.approx(1 / (1 + math.exp(-0.8)), abs=0.02)
    assert float(torch.logit(t).std()) == pytest.approx(1.5, rel=0.03)


def test_source_noise(generator):
    x = torch.zeros(4, 3, 50, 50)
    assert add_source_noise(x, 0.0) is x
    assert float(add_source_noise(x, 0.1, generator).std()) == pytest.approx(0.1, rel=0.02)
    with pytest.raises(ValueError, match="sigma must be at least 0"):
        add_source_noise(x, -1.0)


def test_loss_is_its_formula(generator):
    x0, x1 = torch.randn(2, 5, 3, 4, 4, generator=generator, dtype=torch.float64)
    t = torch.rand(5, generator=generator, dtype=torch.float64)

    def velocity(x, time):
        return 2.0 * x - time.view(-1, 1, 1, 1)

    expected = []
    for i in range(5):
        x_t = (1 - t[i]) * x0[i] + t[i] * x1[i]
        expected.append(((2.0 * x_t - t[i]) - (x1[i] - x0[i])).pow(2).mean())
    ours = rectified_flow_loss(velocity, x0, x1, t=t, reduction="none")
    torch.testing.assert_close(ours, torch.stack(expected))
    torch.testing.assert_close(rectified_flow_loss(velocity, x0, x1, t=t), ours.mean())


def test_the_loss_is_least_at_the_conditional_mean(generator):
    """x0 ~ N(0, 1), x1 = 3 + 0.5 n independent of x0: the best affine velocity at t is known in closed form."""
    x0 = torch.randn(200_000, 1, generator=generator, dtype=torch.float64)
    x1 = 3 + 0.5 * torch.randn(200_000, 1, generator=generator, dtype=torch.float64)
    t = 0.4
    variance = (1 - t) ** 2 + (0.5 * t) ** 2
    slope = (t * 0.25 - (1 - t)) / variance
    times = torch.full((len(x0),), t, dtype=torch.float64)

    def loss(gain, offset):
        return float(rectified_flow_loss(lambda x, _: 3 + offset + gain * (x - 3 * t), x0, x1, t=times))

    best = loss(slope, 0.0)
    assert all(loss(slope + a, b) > best for a, b in [(0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05)])


def test_consistency_loss_vanishes_on_straight_paths_and_only_there(generator):
    x0, x1 = torch.randn(2, 64, 2, generator=generator, dtype=torch.float64)
    t = torch.rand(64, generator=generator, dtype=torch.float64)
    straight = consistency_flow_matching_loss(lambda x, time: x1 - x0, x0, x1, t=t)
    assert float(straight) < 1e-28
    assert float(consistency_flow_matching_loss(lambda x, time: x1 - x0 + 0.1, x0, x1, t=t)) > 1e-5


def test_consistency_loss_is_its_formula(generator):
    x0, x1 = torch.randn(2, 1, 3, generator=generator, dtype=torch.float64)
    w = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    t, later, end = 0.23, 0.28, 0.4  # segment 2 of 5, dt = 0.05

    def velocity(x, time):
        return w * x + time.view(-1, 1)

    loss = consistency_flow_matching_loss(velocity, x0, x1, t=torch.tensor([t], dtype=torch.float64))
    loss.backward()
    xt, xl = (1 - t) * x0 + t * x1, (1 - later) * x0 + later * x1
    u = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    vt, vl = u * xt + t, (0.7 * xl + later)
    expected = ((xt + (end - t) * vt) - (xl + (end - later) * vl)).pow(2).mean() + 0.001 * (vt - vl).pow(2).mean()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(w.grad, u.grad)


def elirs_loss(velocity, x0, x1, t, dt=0.05, segments=5, alpha=0.001):
    """Written from the description of ELIR's code: the later point is t + dt, the end's own point replaces it."""
    ends = torch.linspace(0, 1, segments + 1, dtype=t.dtype)
    end = ends[torch.searchsorted(ends, t, side="left").clamp(min=1)].view(-1, 1)
    t, later = t.view(-1, 1), t.view(-1, 1) + dt
    path = [(1 - time) * x0 + time * x1 for time in (t, later, end)]
    v, v_later = velocity(path[0], t[:, 0]), velocity(path[1], later[:, 0])
    carried = torch.where(later < end, path[1] + (end - later) * v_later, path[2])
    return (path[0] + (end - t) * v - carried).square().mean() + alpha * (v - v_later).square().mean()


def test_the_consistency_loss_is_elirs_also_at_the_ends_of_segments(generator):
    x0, x1 = torch.randn(2, 64, 3, generator=generator, dtype=torch.float64)
    t = 0.95 * torch.rand(64, generator=generator, dtype=torch.float64)
    assert float(((t * 5) % 1 > 0.75).double().mean()) > 0.1  # whose later point lies in the next segment

    def velocity(x, time):
        return torch.sin(3 * x) + time.view(-1, 1)

    free, clamped = (
        consistency_flow_matching_loss(velocity, x0, x1, t=t, later_point=form, velocity_weight=0.5)
        for form in ("free", "clamped")
    )
    torch.testing.assert_close(free, elirs_loss(velocity, x0, x1, t, alpha=0.5))
    assert float((free - clamped).abs()) > 1e-4


def test_a_clamped_later_point_stays_in_its_segment():
    seen = []

    def velocity(x, time):
        seen.append(float(time[0]))
        return x

    x = torch.ones(1, 2)
    for form, later in (("clamped", 0.2), ("free", 0.24)):
        consistency_flow_matching_loss(velocity, x, 2 * x, t=torch.tensor([0.19]), later_point=form)
        assert seen[-1] == pytest.approx(later)
    with pytest.raises(ValueError, match="later_point must be one of 'free', 'clamped'; got 'none'"):
        consistency_flow_matching_loss(velocity, x, x, later_point="none")


def test_bad_arguments():
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="distribution must be one of"):
        sample_time(2, distribution="beta")
    with pytest.raises(ValueError, match=r"rank must be in 0\.\.1"):
        sample_time(2, rank=2, world_size=2)
    with pytest.raises(ValueError, match="one shape"):
        rectified_flow_loss(lambda x, t: x, x, x[:1])
    with pytest.raises(ValueError, match=r"t must be \(B,\) = \(2,\); got \(\)"):
        rectified_flow_loss(lambda x, t: x, x, x, t=torch.tensor(0.5))
