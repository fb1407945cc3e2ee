"""Solvers against closed forms, their own order, and refusals."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pmrf_blocks.flow import SOLVERS, Dopri5, Tableau, integrate, list_solvers


@pytest.mark.parametrize("name", SOLVERS)
def test_measured_order_is_the_stated_order(name):
    """x' = x cos t, x(0) = 1: x(1) = exp(sin 1)."""
    x0 = torch.ones(1, dtype=torch.float64)
    errors = [
        abs(float(integrate(lambda x, t: x * torch.cos(t), x0, steps, name).x) - math.exp(math.sin(1)))
        for steps in (16, 32)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(SOLVERS[name].order, abs=0.15)


@pytest.mark.parametrize("name", SOLVERS)
def test_tableaux_are_consistent(name):
    table = SOLVERS[name]
    assert sum(table.b) == pytest.approx(1)
    for row, c in zip(table.a, table.c):
        assert sum(row) == pytest.approx(c)
    assert len(table.a) == len(table.c) == table.stages


@given(name=st.sampled_from(sorted(SOLVERS)), steps=st.integers(1, 12), batch=st.integers(1, 3))
def test_constant_velocity_is_exact_and_evaluations_are_counted(name, steps, batch):
    calls = []
    x0 = torch.zeros(batch, 2, dtype=torch.float64)

    def velocity(x, t):
        calls.append(t)
        return torch.full_like(x, 3.0)

    result = integrate(velocity, x0, steps, name, return_trajectory=True)
    torch.testing.assert_close(result.x, torch.full_like(x0, 3.0))
    assert result.nfe == len(calls) == steps * SOLVERS[name].stages
    assert all(t.shape == (batch,) for t in calls)
    assert len(result.trajectory) == steps + 1
    assert torch.equal(result.trajectory[-1], result.x)


def test_euler_evaluates_at_the_left_of_every_step():
    times = []
    integrate(lambda x, t: times.append(float(t[0])) or x, torch.ones(1), 4)
    assert times == [0.0, 0.25, 0.5, 0.75]


def test_backwards_in_time_returns():
    x0 = torch.ones(1, dtype=torch.float64)
    there = integrate(lambda x, t: torch.sin(x), x0, 50, "rk4").x
    back = integrate(lambda x, t: torch.sin(x), there, 50, "rk4", t0=1.0, t1=0.0).x
    torch.testing.assert_close(back, x0, rtol=0, atol=1e-8)


def test_state_stays_float32_for_half_precision():
    assert integrate(lambda x, t: x.bfloat16(), torch.ones(1, dtype=torch.bfloat16), 3).x.dtype == torch.float32


def test_progress_counts_steps():
    seen = []
    integrate(lambda x, t: x, torch.ones(1), 3, "heun", progress=lambda done, steps: seen.append((done, steps)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_solver_of_ones_own_is_a_function():
    def midpoint(velocity, x, t, h):
        return x + h * velocity(x + 0.5 * h * velocity(x, t), t + 0.5 * h)

    x0 = torch.linspace(0.1, 1, 6, dtype=torch.float64).view(3, 2)
    ours = integrate(lambda x, t: torch.sin(x) * t.view(-1, 1), x0, 7, midpoint, return_trajectory=True)
    table = integrate(lambda x, t: torch.sin(x) * t.view(-1, 1), x0, 7, "midpoint", return_trajectory=True)
    torch.testing.assert_close(ours.x, table.x, rtol=1e-14, atol=0)
    assert ours.nfe == table.nfe == 14
    assert len(ours.trajectory) == 8


def test_a_tableau_of_ones_own():
    ralston = Tableau(order=2, a=((), (2 / 3,)), b=(0.25, 0.75), c=(0.0, 2 / 3))
    x0 = torch.ones(1, dtype=torch.float64)
    errors = [abs(float(integrate(lambda x, t: x, x0, n, ralston).x) - math.e) for n in (16, 32)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
def test_dopri5_keeps_its_tolerance_and_counts(tolerance):
    calls = []

    def velocity(x, t):
        calls.append(t)
        return x * torch.cos(t).view(-1, 1)

    x0 = torch.tensor([[1.0], [5.0]], dtype=torch.float64)
    result = integrate(velocity, x0, solver=Dopri5(tolerance, tolerance), return_trajectory=True)
    expected = x0 * math.exp(math.sin(1))
    assert float((result.x - expected).abs().max()) < 10 * tolerance * float(expected.max())
    assert result.nfe == len(calls)
    assert torch.equal(result.trajectory[0], x0)
    assert torch.equal(result.trajectory[-1], result.x)


def test_dopri5_takes_more_steps_where_it_is_hard_and_each_image_its_own():
    def velocity(x, t):
        return (torch.cos(40 * t) * 40).view(-1, 1) * torch.tensor([[1.0], [0.0]], dtype=x.dtype)[: len(x)] + 0 * x

    x0 = torch.zeros(2, 1, dtype=torch.float64)
    both = integrate(velocity, x0, solver="dopri5")
    assert float(both.x[0]) == pytest.approx(math.sin(40), abs=1e-3)
    alone = integrate(velocity, x0[:1], solver="dopri5")
    assert torch.equal(alone.x, both.x[:1])  # whatever the other image of the batch does
    assert both.nfe == alone.nfe > integrate(lambda x, t: 0 * x + 1, x0, solver="dopri5").nfe


def test_dopri5_goes_backwards_and_takes_gradients():
    x0 = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    there = integrate(lambda x, t: torch.sin(x), x0, solver=Dopri5(1e-8, 1e-8)).x
    torch.testing.assert_close(
        integrate(lambda x, t: torch.sin(x), there, solver=Dopri5(1e-8, 1e-8), t0=1.0, t1=0.0).x, x0, rtol=0, atol=1e-7
    )
    there.backward()
    assert float(x0.grad) == pytest.approx(math.sin(float(there.detach())) / math.sin(1.0), rel=1e-5)  # d x(1) / d x(0)


def test_dopri5_says_where_it_stopped():
    x = torch.ones(1, 2)
    with pytest.raises(RuntimeError, match=r"dopri5 came to t = 0\.\d+ of 1 in 3 steps"):
        integrate(lambda x, t: 100 * torch.sin(900 * t).view(-1, 1) + 0 * x, x, solver=Dopri5(max_steps=3))
    with pytest.raises(RuntimeError, match=r"dopri5 came to t = 0 of 1 in 1 steps"):
        integrate(lambda x, t: 1e6 * torch.sin(1e6 * t).view(-1, 1) + 0 * x, x, solver=Dopri5(max_steps=1))
    with pytest.raises(ValueError, match=r"rtol must be in \[0, 1\)"):
        Dopri5(rtol=-1.0)


@pytest.mark.parametrize("solver", ["euler", "dopri5"])
def test_what_is_no_number_stays_so_in_its_image_alone(solver):
    def velocity(x, t):
        return torch.where(torch.tensor([[False], [True], [False]]) & (t.view(-1, 1) > 0.3), torch.nan, 1.0) + 0 * x

    x = integrate(velocity, torch.zeros(3, 2), 10, solver).x
    assert bool(x[1].isnan().all())
    torch.testing.assert_close(x[[0, 2]], torch.ones(2, 2))
    assert not bool(integrate(lambda x, t: x / 0, torch.ones(1, 2), 10, solver).x.isfinite().any())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"solver": "rk5"}, "solver must be one of 'euler', 'midpoint', 'heun', 'rk4', 'dopri5'; got 'rk5'"),
        ({"solver": 4}, "solver must be one of"),
        ({"solver": Dopri5}, "solver must be one of .* got <class"),  # a class, and no solver made of it
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": 2.5}, "steps must be a whole number; got 2.5"),
        ({"t1": math.nan}, "t0 and t1 must be finite; got 0.0 and nan"),
        ({"t0": -math.inf}, "t0 and t1 must be finite"),
        ({"velocity": lambda x, t: x[:1]}, r"the velocity must have the shape of x, \(2, 3\); got \(1, 3\)"),
        ({"velocity": lambda x, t: t}, r"the velocity must have the shape of x, \(2, 3\); got \(2,\)"),
        ({"velocity": lambda x, t: 1.0}, "got float"),
        ({"velocity": lambda x, t: x[:1], "solver": "dopri5"}, "the velocity must have the shape of x"),
        ({"solver": lambda v, x, t, h: x[:1]}, "the solver's step must have the shape of x"),
        ({"x0": torch.zeros(2, 3, dtype=torch.long)}, "x0 must be a float tensor"),
    ],
)
def test_bad_arguments(change, message):
    arguments = {"velocity": lambda x, t: x, "x0": torch.zeros(2, 3), **change}
    with pytest.raises(ValueError, match=message):
        integrate(**arguments)


def test_every_listed_solver_integrates():
    for name in list_solvers():
        assert float(integrate(lambda x, t: 0 * x + 2, torch.zeros(1, 1), 3, name).x) == pytest.approx(2, abs=1e-6)
