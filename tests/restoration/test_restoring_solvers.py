"""restore() integrates with every solver that flow has, and with one's own."""

import pytest
import torch
from torch import nn

from pmrf_blocks.flow import Dopri5, list_solvers
from pmrf_blocks.restoration import PMRF, NonFiniteError


class Mean(nn.Module):
    def forward(self, x):
        return 0.5 * x


class Towards(nn.Module):
    """dx/dt = 0.6 - x, whose flow is known."""

    def forward(self, x, t):
        return 0.6 - x


def build(velocity):
    return PMRF(estimator=Mean(), velocity=velocity, size=8, source_noise=0.0, steps=40)


@pytest.fixture
def x(generator):
    return torch.rand(2, 3, 8, 8, generator=generator)


@pytest.mark.parametrize("solver", [*list_solvers(), Dopri5(1e-3, 1e-3), lambda v, x, t, h: x + h * v(x, t)])
def test_every_solver_restores(solver, x):
    pipeline = build(Towards())
    pipeline.register_parameter("place", nn.Parameter(torch.zeros(1)))
    restored = pipeline.restore(x, solver=solver)
    expected = 0.6 + (0.5 * x - 0.6) * torch.exp(torch.tensor(-1.0))
    torch.testing.assert_close(restored.image, expected, rtol=0, atol=5e-3)
    assert restored.nfe > 0


@pytest.mark.parametrize("solver", list_solvers())
def test_a_velocity_that_is_no_number_is_named(solver, x):
    class Broken(nn.Module):
        def forward(self, x, t):
            return x / 0 - x / 0

    pipeline = build(Broken())
    pipeline.register_parameter("place", nn.Parameter(torch.zeros(1)))
    with pytest.raises(NonFiniteError, match="flow"):
        pipeline.restore(x, solver=solver)
