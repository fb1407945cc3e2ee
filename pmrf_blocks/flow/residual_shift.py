"""ResShift's diffusion (Yue et al., 2023): from the degraded image plus noise to the clean one, by shifting what is
between them. Not a flow, but trained on the same ends, and sampled by a network that is called as a velocity is.

Steps are counted as the paper does: 0 is the clean image, T the degraded one with noise. Images are points of any
space, pixels in [0, 1] or latents; the noise is in its units.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pmrf_blocks.flow.evaluation import Evaluation, Velocity
from pmrf_blocks.flow.losses import check_pair, promote
from pmrf_blocks.flow.solvers import IntegrationResult, Progress
from pmrf_blocks.seeding import normal_like


@dataclass(frozen=True)
class ResidualShift:
    """The transitions x_t = x_{t-1} + alpha_t (y - x_0) + kappa sqrt(alpha_t) noise, alpha_t = eta_t - eta_{t-1}
    (eq. 1), with eta_0 = 0 and sqrt(eta_t) in geometric steps from eta_1 to eta_T (eq. 9). The defaults are those of
    the released model for faces, but for its perceptual loss; that for super-resolution has 15 steps from 0.04.

    Arguments:
        steps: T, from 2 up.
        kappa: how much noise there is; kappa sqrt(eta_T) of it at the source.
        least_noise: kappa sqrt(eta_1), the noise that is left before the last step.
        last: sqrt(eta_T), just below 1.
        power: p; below 1 the noise grows fast at first.

    Raises ValueError for values outside these ranges.

    Examples:
        >>> ResidualShift(steps=4).etas.shape
        torch.Size([5])
    """

    steps: int = 4
    kappa: float = 2.0
    least_noise: float = 0.2
    last: float = 0.99
    power: float = 0.3

    def __post_init__(self) -> None:
        if self.steps < 2 or not self.kappa > 0 or not self.power > 0:
            raise ValueError(
                f"steps must be at least 2, kappa and power above 0; got {self.steps}, {self.kappa}, {self.power}"
            )
        if not 0 < self.least_noise / self.kappa < self.last <= 1:
            raise ValueError(
                "least_noise / kappa must be above 0 and below last, which is at most 1; "
                f"got {self.least_noise} / {self.kappa} and {self.last}"
            )

    @property
    def etas(self) -> Tensor:
        """eta_0 = 0 to eta_T, (T + 1,) in float64."""
        first = self.least_noise / self.kappa
        share = torch.linspace(0.0, 1.0, self.steps, dtype=torch.float64) ** self.power
        return torch.cat((share.new_zeros(1), (first * (self.last / first) ** share).square()))

    @property
    def source_noise(self) -> float:
        """Standard deviation of the noise on the degraded image at step T."""
        return self.kappa * self.last

    def marginal(self, clean: Tensor, degraded: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """(mean, standard deviation) of x_t, of clean and degraded images (B, ...) at steps (B,) from 0 up (eq. 2)."""
        eta = self._eta(step, clean)
        return clean + eta * (degraded - clean), self.kappa * eta.sqrt()

    def posterior(self, x: Tensor, clean: Tensor, step: Tensor, earlier: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(mean, standard deviation) of x_{t-1}, given x_t and the clean image (B, ...) (eq. 6); with `earlier`, of x_s
        for steps s (B,) below t, which is of the same form."""
        eta, left = self._eta(step, x), self._eta(step - 1 if earlier is None else earlier, x)
        share = left / eta
        return share * x + (1.0 - share) * clean, self.kappa * (share * (eta - left)).sqrt()

    def predict(self, network: Velocity, x: Tensor, step: Tensor) -> Tensor:
        """The clean image by network(x, t) of x_t (B, ...): it sees x_t brought to about unit variance, as the released
        code has it for latents, and the time t = 1 - step / T, from 0 at the source as a velocity's."""
        return network(x / (1.0 + self.kappa**2 * self._eta(step, x)).sqrt(), (1.0 - step / self.steps).to(x))

    def _eta(self, step: Tensor, like: Tensor) -> Tensor:
        """eta of steps (B,), to be multiplied with `like` (B, ...)."""
        return self.etas.to(like.device)[step].to(like).view(-1, *(1,) * (like.ndim - 1))


def residual_shift_loss(
    network: Velocity,
    degraded: Tensor,
    clean: Tensor,
    shift: ResidualShift,
    *,
    step: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Squared error of the clean image that the network predicts from x_t; a scalar. Steps weigh alike, as the paper
    trains (eq. 8, section 2.1).

    Arguments:
        network: callable (x, t) -> the clean image, as ResidualShift.predict() calls it.
        degraded, clean: one shape (B, ...); the error is taken in float32 or better.
        step: whole numbers (B,) from 1 to T; drawn uniformly with `generator`, as the noise is, when None.

    Raises ValueError where shapes differ, or for steps out of range.

    Examples:
        >>> degraded, clean = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
        >>> residual_shift_loss(lambda x, t: torch.ones_like(x), degraded, clean, ResidualShift())  # the clean image
        tensor(0.)
    """
    check_pair(degraded, clean)
    if step is None:
        step = torch.randint(1, shift.steps + 1, (len(clean),), generator=generator, device=clean.device)
    elif step.shape != (len(clean),) or not bool(((step >= 1) & (step <= shift.steps)).all()):
        raise ValueError(f"step must be (B,) = ({len(clean)},) numbers from 1 to {shift.steps}")
    mean, std = shift.marginal(clean, degraded, step)
    noise = torch.randn(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)
    predicted = shift.predict(network, mean + std * noise, step)
    return (promote(predicted) - promote(clean)).square().mean()


def sample_residual_shift(
    network: Velocity,
    degraded: Tensor,
    shift: ResidualShift,
    *,
    generator: torch.Generator | Sequence[torch.Generator],
    steps: int | None = None,
    strength: float = 1.0,
    progress: Progress | None = None,
) -> IntegrationResult:
    """Carry the degraded image (B, ...) plus noise to the clean one, one draw of the posterior a step (algorithm 2).

    Arguments:
        network: as for residual_shift_loss().
        generator: of the noise; one, or one an image.
        steps: None takes all T; fewer skip some of them evenly.
        strength: of all noise; 0 follows the means and draws nothing.
        progress: called as progress(done, steps) after each step.

    The state is kept in float32 at least. Raises ValueError for steps outside 1 to T, and a network's result of
    another shape than x.

    Examples:
        >>> generator = torch.Generator().manual_seed(0)
        >>> result = sample_residual_shift(
        ...     lambda x, t: torch.ones_like(x), torch.zeros(1, 3, 4, 4), ResidualShift(), generator=generator
        ... )
        >>> result.x.unique(), result.nfe
        (tensor([1.]), 4)
    """
    steps = shift.steps if steps is None else steps
    if not 1 <= steps <= shift.steps:
        raise ValueError(f"steps must be from 1 to {shift.steps}, as many as there were in training; got {steps}")
    x = promote(degraded)
    evaluate = Evaluation(network, x)

    def noisy(mean: Tensor, std: Any) -> Tensor:
        return mean + strength * std * normal_like(mean, generator) if strength else mean

    x = noisy(x, shift.source_noise)
    taken = [math.ceil(shift.steps * left / steps) for left in range(steps, -1, -1)]
    for done, (step, earlier) in enumerate(itertools.pairwise(taken), start=1):
        now, then = (torch.full((len(x),), number, device=x.device) for number in (step, earlier))
        mean, std = shift.posterior(x, shift.predict(evaluate, x, now), now, then)
        x = noisy(mean, std) if earlier else mean
        if progress is not None:
            progress(done, steps)
    return IntegrationResult(x, evaluate.count)
