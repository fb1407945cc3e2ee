"""ResShift on Gaussians, where marginal, posterior, the best predictor and what its sampler draws are known."""

import math

import numpy as np
import pytest
import torch

from pmrf_blocks.flow import ResidualShift, residual_shift_loss, sample_residual_shift

FOUR, FIFTEEN = ResidualShift(), ResidualShift(steps=15, least_noise=0.04)
DOUBLE = torch.float64


def steps(shift, *numbers):
    return torch.tensor(numbers or range(1, shift.steps + 1))


@pytest.mark.parametrize("shift", [FOUR, FIFTEEN])
def test_the_schedule_is_equation_9(shift):
    """sqrt(eta_t) = sqrt(eta_1) b0^beta_t, with b0 = exp(log(eta_T / eta_1) / (2 (T - 1)))."""
    first, count = shift.least_noise / 2.0, shift.steps
    b0 = np.exp(np.log((0.99 / first) ** 2) / (2 * (count - 1)))
    betas = [((t - 1) / (count - 1)) ** 0.3 * (count - 1) for t in range(1, count + 1)]
    np.testing.assert_allclose(shift.etas[1:].sqrt().numpy(), first * b0 ** np.array(betas), rtol=1e-12)
    assert shift.etas[0] == 0
    assert bool((shift.etas.diff() > 0).all())


@pytest.mark.parametrize("shift", [FOUR, FIFTEEN, ResidualShift(7, 0.5, 0.1, 0.9, 2.0)])
def test_marginals_are_products_of_transitions(shift, generator):
    clean, degraded = torch.randn(2, 3, 5, generator=generator, dtype=DOUBLE)
    mean, variance = clean, torch.zeros(())
    for step in range(1, shift.steps + 1):
        alpha = shift.etas[step] - shift.etas[step - 1]
        mean, variance = mean + alpha * (degraded - clean), variance + shift.kappa**2 * alpha
        told, std = shift.marginal(clean, degraded, torch.full((3,), step))
        torch.testing.assert_close(told, mean, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(std.square(), variance.expand(3, 1), rtol=1e-13, atol=0)


@pytest.mark.parametrize("skipped", [0, 2])
def test_the_posterior_is_bayes_rule(skipped, generator):
    """Precision-weighted, of the marginal of the earlier step and of the transitions from there."""
    shift, (clean, degraded, x) = FIFTEEN, torch.randn(3, 4, 6, generator=generator, dtype=DOUBLE)
    for step in range(2 + skipped, shift.steps + 1):
        earlier = step - 1 - skipped
        alpha = shift.etas[step] - shift.etas[earlier]
        prior, spread = shift.marginal(clean, degraded, torch.full((4,), earlier))
        precisions = 1 / spread[0, 0] ** 2, 1 / (shift.kappa**2 * alpha)
        expected = (precisions[0] * prior + precisions[1] * (x - alpha * (degraded - clean))) / sum(precisions)
        mean, std = shift.posterior(x, clean, *(torch.full((4,), n) for n in (step, earlier)))
        torch.testing.assert_close(mean, expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(std[0, 0] ** -2, sum(precisions), rtol=1e-10, atol=0)
        if not skipped:
            assert torch.equal(shift.posterior(x, clean, torch.full((4,), step))[0], mean)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_a_perfect_predictor_returns_the_clean_image(count, generator):
    clean, degraded = torch.randn(2, 3, 2, 4, generator=generator, dtype=DOUBLE)
    seen = []

    def network(x, t):
        seen.append((x, t[0].item()))
        return clean

    done = []
    result = sample_residual_shift(
        network, degraded, FOUR, generator=generator, steps=count, progress=lambda *now: done.append(now)
    )
    torch.testing.assert_close(result.x, clean, rtol=0, atol=1e-15)
    assert result.nfe == count == len(seen)
    assert done == [(step, count) for step in range(1, count + 1)]
    assert [time for _, time in seen] == {1: [0.0], 3: [0.0, 0.25, 0.5], 4: [0.0, 0.25, 0.5, 0.75]}[count]


def best(shift, mean, sigma, degraded):
    """E[x_0 | x_t, y] for x_0 ~ N(mean, sigma^2), as a network of the scaled x_t: by regression."""

    def network(x, t):
        eta = shift.etas[((1 - t) * shift.steps).round().long()].view(-1, 1)
        x = x * (1 + shift.kappa**2 * eta).sqrt()
        gain = (1 - eta) * sigma**2 / ((1 - eta) ** 2 * sigma**2 + shift.kappa**2 * eta)
        return mean + gain * (x - (1 - eta) * mean - eta * degraded)

    return network


def test_the_least_loss_is_the_variance_that_is_left(generator):
    shift, mean, sigma, count = FOUR, 1.5, 0.7, 40_000
    clean = mean + sigma * torch.randn(count, 1, generator=generator, dtype=DOUBLE)
    degraded = torch.full_like(clean, -1.0)
    network = best(shift, mean, sigma, -1.0)
    for step in range(1, shift.steps + 1):
        eta = float(shift.etas[step])
        noise = shift.kappa**2 * eta
        left = sigma**2 * noise / ((1 - eta) ** 2 * sigma**2 + noise)
        chosen = torch.full((count,), step)
        loss = float(residual_shift_loss(network, degraded, clean, shift, step=chosen, generator=generator))
        assert loss == pytest.approx(left, rel=0.03)
        worse = lambda x, t: network(x, t) + 0.2  # noqa: E731
        worst = float(residual_shift_loss(worse, degraded, clean, shift, step=chosen, generator=generator))
        assert worst == pytest.approx(left + 0.04, rel=0.03)


def test_steps_are_drawn_alike(generator):
    seen = []
    residual_shift_loss(lambda x, t: seen.append(t) or x, *torch.randn(2, 8000, 1), FOUR, generator=generator)
    counts = torch.bincount((seen[0] * 4).long(), minlength=4)
    assert counts.tolist() == pytest.approx([2000] * 4, rel=0.1)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_the_sampler_draws_what_the_recursion_says(strength, generator):
    """With a linear predictor each x_t is Gaussian, its mean and variance a recursion of two numbers."""
    shift, mean, sigma, y = FIFTEEN, 1.5, 0.7, -1.0
    network = best(shift, mean, sigma, y)
    expected, variance = y, (strength * shift.kappa * shift.last) ** 2
    for step in range(shift.steps, 0, -1):
        eta, left = shift.etas[step].item(), shift.etas[step - 1].item()
        gain = (1 - eta) * sigma**2 / ((1 - eta) ** 2 * sigma**2 + shift.kappa**2 * eta)
        clean = mean + gain * (expected - (1 - eta) * mean - eta * y)
        slope = left / eta + (1 - left / eta) * gain
        expected = left / eta * expected + (1 - left / eta) * clean
        variance = slope**2 * variance + (strength * shift.kappa) ** 2 * left / eta * (eta - left)
    start = torch.full((40_000, 1), y, dtype=DOUBLE)
    x = sample_residual_shift(network, start, shift, generator=generator, strength=strength).x
    assert float(x.mean()) == pytest.approx(expected, abs=4 * math.sqrt(variance / 40_000))
    assert float(x.var()) == pytest.approx(variance, rel=0.03)
    still = sample_residual_shift(network, start[:2], shift, generator=None, strength=0.0).x
    assert float(still[0]) == pytest.approx(expected, rel=1e-9)  # the mean, as the predictor is linear


def test_what_cannot_be_is_refused(generator):
    for arguments in ({"steps": 1}, {"kappa": 0.0}, {"least_noise": 2.0}, {"last": 1.1}, {"power": 0.0}):
        with pytest.raises(ValueError, match=r"at least 2|below last"):
            ResidualShift(**arguments)
    x = torch.zeros(2, 3)
    for count in (0, 5):
        with pytest.raises(ValueError, match="steps must be from 1 to 4"):
            sample_residual_shift(lambda x, t: x, x, FOUR, generator=generator, steps=count)
    with pytest.raises(ValueError, match="must have the shape of x"):
        sample_residual_shift(lambda x, t: x[:, :1], x, FOUR, generator=generator)
    for step in (steps(FOUR), torch.tensor([0, 1]), torch.tensor([1, 5])):
        with pytest.raises(ValueError, match=r"step must be \(B,\)"):
            residual_shift_loss(lambda x, t: x, x, x, FOUR, step=step)
    with pytest.raises(ValueError, match="one shape"):
        residual_shift_loss(lambda x, t: x, x, x[:, :1], FOUR)
