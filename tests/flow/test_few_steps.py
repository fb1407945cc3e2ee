"""Reflow, consistency and MeanFlow on Gaussians, where the flow, its average velocity and their optimum are known.

x0 ~ N(0, 1) and x1 ~ N(3, 0.5^2), independent: x_t ~ N(m_t, s_t^2), and the flow of one dimension keeps quantiles.
"""

import pytest
import torch

from pmrf_blocks.flow import (
    consistency_flow_matching_loss,
    integrate,
    integrate_mean_flow,
    mean_flow_loss,
    rectified_flow_loss,
    reflow_pairs,
    sample_time_pairs,
)

MEAN, SIGMA = 3.0, 0.5


def at(t):
    """Mean and standard deviation of x_t."""
    return MEAN * t, ((1 - t) ** 2 + (SIGMA * t) ** 2).sqrt()


def flow_map(x, t, s):
    """Where the flow from t is at s."""
    (mean_t, sigma_t), (mean_s, sigma_s) = at(t), at(s)
    return mean_s + sigma_s / sigma_t * (x - mean_t)


def velocity(x, t):
    t = t.view(-1, 1)
    mean, sigma = at(t)
    return MEAN + ((SIGMA**2 * t - (1 - t)) / sigma**2) * (x - mean)


def average_velocity(x, t, s):
    """(flow(x, t, s) - x) / (s - t), which is the velocity at s = t; two times equal are told apart by a little."""
    t, s = t.view(-1, 1), s.view(-1, 1)
    s = torch.where(s - t < 1e-6, t + 1e-6, s)
    return (flow_map(x, t, s) - x) / (s - t)


def straight(x, t):
    """Velocity of the straight paths x_t = x0 + t (3 - x0 / 2), which join the flow's ends."""
    t = t.view(-1, 1)
    return MEAN - 0.5 * (x - MEAN * t) / (1 - 0.5 * t)


def pairs(count, generator):
    x0, x1 = torch.randn(2, count, 1, generator=generator, dtype=torch.float64)
    return x0, MEAN + SIGMA * x1


def test_reflow_pairs_are_the_flows_ends_and_their_paths_are_straight(generator):
    x0, _ = pairs(500, generator)
    start, end = reflow_pairs(velocity, x0, 200, "rk4")
    assert torch.equal(start, x0)
    torch.testing.assert_close(end, flow_map(x0, torch.tensor(0.0), torch.tensor(1.0)), rtol=0, atol=1e-7)

    assert float(rectified_flow_loss(straight, start, end, t=torch.rand(500, dtype=torch.float64))) < 1e-12
    one, many = (integrate(straight, x0, steps).x for steps in (1, 50))
    torch.testing.assert_close(one, many)  # one step is enough


@pytest.mark.parametrize("later_point", ["free", "clamped"])
@pytest.mark.parametrize("segments", [1, 5])
def test_consistency_is_least_at_the_straight_flow_of_reflow_pairs(later_point, segments, generator):
    """Between the flow's own ends paths are straight: its velocity costs nothing, the curved flow's does."""
    x0, _ = pairs(400, generator)
    start, end = reflow_pairs(velocity, x0, 100, "rk4")
    t = 0.95 * torch.rand(400, generator=generator, dtype=torch.float64)

    def loss(of):
        return float(consistency_flow_matching_loss(of, start, end, t=t, segments=segments, later_point=later_point))

    assert loss(straight) < 1e-12
    assert loss(velocity) > 1e-5
    for shift in (0.1, -0.1):
        assert loss(lambda x, t, shift=shift: straight(x, t) * (1 + shift)) > 1e-6


def test_mean_flow_of_a_deterministic_coupling_costs_nothing(generator):
    """x1 = 3 + x0 / 2: paths are straight and do not cross, so that the average velocity is the velocity."""
    x0, _ = pairs(400, generator)

    def average(x, t, s):
        return straight(x, t)

    assert float(mean_flow_loss(average, x0, MEAN + 0.5 * x0, power=0.0, generator=generator)) < 1e-20
    assert float(mean_flow_loss(lambda *a: average(*a) + 0.1, x0, MEAN + 0.5 * x0, generator=generator)) > 0.1


def test_mean_flow_is_stationary_at_the_gaussians_average_velocity(generator):
    """Gradients of an offset and a gain beside the closed form vanish at zero, and not beside it."""
    x0, x1 = pairs(200_000, generator)
    t, s = torch.rand(2, 200_000, generator=generator, dtype=torch.float64).sort(0).values

    def gradients(offset, gain):
        a, b = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (offset, gain))
        loss = mean_flow_loss(lambda *z: average_velocity(*z) + a + b * z[0], x0, x1, times=(t, s), power=0.0)
        return [float(gradient) for gradient in torch.autograd.grad(loss, (a, b))]

    assert all(abs(gradient) < 0.03 for gradient in gradients(0.0, 0.0))
    assert gradients(0.1, 0.0)[0] > 0.1
    assert gradients(0.0, 0.1)[1] > 0.1


def test_mean_flow_of_equal_times_is_the_rectified_flow_loss(generator):
    x0, x1 = pairs(64, generator)
    t = torch.rand(64, generator=generator, dtype=torch.float64)
    ours = mean_flow_loss(lambda x, t, s: velocity(x, t), x0, x1, times=(t, t), power=0.0)
    torch.testing.assert_close(ours, rectified_flow_loss(velocity, x0, x1, t=t))


def test_one_jump_of_the_average_velocity_is_the_flow(generator):
    x0, _ = pairs(100, generator)
    expected = integrate(velocity, x0, 500, "rk4").x
    for steps in (1, 2):
        torch.testing.assert_close(integrate_mean_flow(average_velocity, x0, steps), expected, rtol=0, atol=1e-6)


def test_a_network_trains_on_it(generator):
    network = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    optimiser = torch.optim.Adam(network.parameters(), 0.03)

    def average(x, t, s):
        return network(torch.cat((x, t[:, None], s[:, None]), 1))

    for _ in range(200):
        times = tuple(torch.rand(2, 256, generator=generator, dtype=torch.float64).sort(0).values)
        optimiser.zero_grad()
        mean_flow_loss(average, *pairs(256, generator), times=times, power=0.0).backward()
        optimiser.step()
    x0, _ = pairs(2000, generator)
    expected = flow_map(x0, torch.tensor(0.0), torch.tensor(1.0))
    one_jump, one_step = integrate_mean_flow(average, x0).detach(), integrate(velocity, x0, 1).x
    assert float((one_step - expected).square().mean()) > 0.2  # one step of Euler gives the mean for every x0
    assert float((one_jump - expected).square().mean()) < 0.1


def test_time_pairs_are_ordered_and_as_often_equal_as_asked(generator):
    t, s = sample_time_pairs(20_000, generator=generator)
    assert bool(((t > 0) & (t <= s) & (s < 1)).all())
    assert float((t == s).double().mean()) == pytest.approx(0.75, abs=0.01)


def test_bad_arguments(generator):
    x = torch.zeros(2, 3)
    t = torch.tensor([0.5, 0.6])
    with pytest.raises(ValueError, match="times must be ordered"):
        mean_flow_loss(lambda x, t, s: x, x, x, times=(t, t - 0.1))
    with pytest.raises(ValueError, match="power must be at least 0"):
        mean_flow_loss(lambda x, t, s: x, x, x, power=-1.0)
    with pytest.raises(ValueError, match="instantaneous in"):
        sample_time_pairs(2, instantaneous=2.0)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        integrate_mean_flow(lambda x, t, s: x, x, 0)
    with pytest.raises(ValueError, match="the velocity must have the shape of x"):
        integrate_mean_flow(lambda x, t, s: x[:1], x)
