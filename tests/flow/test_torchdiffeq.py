"""The same trajectories as torchdiffeq, on four equations whose solutions are known."""

import math

import pytest
import torch

from pmrf_blocks.flow import Dopri5, Tableau, integrate

torchdiffeq = pytest.importorskip("torchdiffeq")

THREE_EIGHTHS = Tableau(  # what torchdiffeq calls rk4
    order=4,
    a=((), (1 / 3,), (-1 / 3, 1.0), (1.0, -1.0, 1.0)),
    b=(1 / 8, 3 / 8, 3 / 8, 1 / 8),
    c=(0.0, 1 / 3, 2 / 3, 1.0),
)
HEUN3 = Tableau(order=3, a=((), (1 / 3,), (0.0, 2 / 3)), b=(0.25, 0.0, 0.75), c=(0.0, 1 / 3, 2 / 3))
ROTATION = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]], dtype=torch.float64)


class Line:
    """dx/dt = a + (x - (a t + b))^5, x = a t + b."""

    start, end = 0.0, 1.0

    def slope(self, t, x):
        return 0.2 + (x - (0.2 * t + 3.0)) ** 5

    def solution(self, t):
        return torch.full((1, 1), 0.2 * t + 3.0, dtype=torch.float64)


class Rotation:
    """dx/dt = A x, x = exp(A t) x(0)."""

    start, end = 0.0, 2.0

    def slope(self, t, x):
        return x @ ROTATION.T

    def solution(self, t):
        return torch.tensor([[1.0, 0.5]], dtype=torch.float64) @ torch.linalg.matrix_exp(ROTATION * t).T


class Sine:
    """dx/dt = 2 x / t + t^4 sin(2 t) - t^2 + 4 t^3."""

    start, end = 1.0, 2.0

    def slope(self, t, x):
        return 2 * x / t + t**4 * torch.sin(2 * t) - t**2 + 4 * t**3

    def solution(self, t):
        value = (
            -0.5 * t**4 * math.cos(2 * t)
            + 0.5 * t**3 * math.sin(2 * t)
            + 0.25 * t**2 * math.cos(2 * t)
            - t**3
            + 2 * t**4
            + (math.pi - 0.25) * t**2
        )
        return torch.full((1, 1), value, dtype=torch.float64)


class Logistic:
    """dx/dt = 3 x (1 - x) from t = 1 back to 0."""

    start, end = 1.0, 0.0

    def slope(self, t, x):
        return 3 * x * (1 - x)

    def solution(self, t):
        return torch.full((1, 1), 1 / (1 + 4 * math.exp(-3 * t)), dtype=torch.float64)


EQUATIONS = [Line(), Rotation(), Sine(), Logistic()]


def theirs(equation, method, **options):
    times = torch.tensor([equation.start, equation.end], dtype=torch.float64)
    x0 = equation.solution(equation.start)
    return torchdiffeq.odeint(equation.slope, x0, times, method=method, **options)[-1]


def ours(equation, steps, solver):
    def velocity(x, t):
        return equation.slope(t.view(-1, 1), x)

    x0 = equation.solution(equation.start)
    return integrate(velocity, x0, steps, solver, t0=equation.start, t1=equation.end).x


@pytest.mark.parametrize("equation", EQUATIONS, ids=lambda equation: type(equation).__name__)
@pytest.mark.parametrize(
    ("solver", "name"), [("euler", "euler"), ("midpoint", "midpoint"), (HEUN3, "heun3"), (THREE_EIGHTHS, "rk4")]
)
def test_equal_steps_are_torchdiffeqs(equation, solver, name):
    step = abs(equation.end - equation.start) / 32  # a power of two, so that both count the same steps
    expected = theirs(equation, name, options={"step_size": step})
    torch.testing.assert_close(ours(equation, 32, solver), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("equation", EQUATIONS, ids=lambda equation: type(equation).__name__)
@pytest.mark.parametrize("tolerance", [1e-5, 1e-9])
def test_dopri5_is_as_exact_as_torchdiffeqs(equation, tolerance):
    solution = equation.solution(equation.end)
    allowed = 20 * tolerance * max(1.0, float(solution.abs().max()))
    result = ours(equation, 1, Dopri5(tolerance, tolerance))
    torch.testing.assert_close(result, theirs(equation, "dopri5", rtol=tolerance, atol=tolerance), rtol=0, atol=allowed)
    torch.testing.assert_close(result, solution, rtol=0, atol=allowed)
