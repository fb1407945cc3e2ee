"""Restoration where everything is known: Gaussian signals, linear degradation, Gaussian noise (appendix A.1, A.3).

Here posterior mean, D*, W2^2 and the optimal transport are formulas, so that a trained flow can be held against
the least distortion that perfect perceptual quality allows, D(0) = D* + W2^2(p_X*, p_X) (eq. 5). Norms are sums over
the D coordinates, as in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pmrf_blocks.flow import integrate


@dataclass(frozen=True)
class GaussianRestoration:
    """X ~ N(mean, covariance) seen as Y = operator X + n, n ~ N(0, noise).

    mean (D,), covariance (D, D) positive definite, operator (M, D), noise (M, M) positive definite; all float64.

    Examples:
        >>> one, zero = torch.eye(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        >>> toy = GaussianRestoration(zero, one, one, one)  # X of variance 1, seen with noise of variance 1
        >>> toy.irreducible, round(toy.minimum, 4)
        (0.5, 0.5858)
    """

    mean: Tensor
    covariance: Tensor
    operator: Tensor
    noise: Tensor

    def __post_init__(self) -> None:
        d, m = len(self.mean), len(self.noise)
        shapes = {"covariance": (d, d), "operator": (m, d), "noise": (m, m)}
        for name, shape in {"mean": (d,), **shapes}.items():
            value = getattr(self, name)
            if value.shape != shape or value.dtype != torch.float64:
                raise ValueError(f"{name} must be {shape} float64; got {tuple(value.shape)} {value.dtype}")
        for name in ("covariance", "noise"):
            value = getattr(self, name)
            if not torch.allclose(value, value.T) or float(torch.linalg.eigvalsh(value).min()) <= 0:
                raise ValueError(f"{name} must be symmetric and positive definite")

    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """(x, y), (count, D) and (count, M)."""
        x = self.mean + _draw(self.covariance, count, generator)
        return x, x @ self.operator.T + _draw(self.noise, count, generator)

    def posterior_mean(self, y: Tensor) -> Tensor:
        """X* = E[X | Y = y] (B, D)."""
        return self.mean + (y - self.operator @ self.mean) @ self.gain.T

    def sample_posterior(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One draw of X given each y, (B, D): what a perfect conditional generator gives, at distortion 2 D*."""
        return self.posterior_mean(y) + _draw(self.posterior_covariance, len(y), generator)

    @cached_property
    def gain(self) -> Tensor:
        """(D, M), the matrix of the posterior mean."""
        a, s = self.operator, self.covariance
        return torch.linalg.solve(a @ s @ a.T + self.noise, a @ s).T

    @cached_property
    def mean_covariance(self) -> Tensor:
        """Covariance of X*, (D, D); also that of X* with X."""
        result = self.gain @ self.operator @ self.covariance
        return 0.5 * (result + result.T)

    @property
    def posterior_covariance(self) -> Tensor:
        """Covariance of X given Y, the same for every y, (D, D)."""
        return self.covariance - self.mean_covariance

    @property
    def irreducible(self) -> float:
        """D* = E|X - X*|^2."""
        return float(self.posterior_covariance.trace())

    @property
    def wasserstein(self) -> float:
        """W2^2(p_X*, p_X)."""
        return gaussian_wasserstein(self.mean, self.mean_covariance, self.mean, self.covariance)

    @property
    def minimum(self) -> float:
        """D(0), the least distortion of an estimator whose results are distributed as X (eq. 5)."""
        return self.irreducible + self.wasserstein

    def optimal_map(self) -> Tensor:
        """Matrix (D, D) of the optimal transport from X* to X, about the mean.

        ValueError where X* does not fill the space: then no map carries it to X, and a source needs noise.
        """
        return transport_matrix(self.mean_covariance, self.covariance)

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """E[X - X* | X_t = x] (B, D) at times (B,): what eq. 3 is least at, for X_t = (1 - t) X* + t X.

        With S* and C the covariances of X* and of X given Y, this is t C (S* + t^2 C)^-1 (x - mean).
        """
        c = self.posterior_covariance
        at = self.mean_covariance + t.to(c).square().view(-1, 1, 1) * c
        solved = torch.linalg.solve(at, (x.to(c) - self.mean).unsqueeze(-1))
        return t.to(c).view(-1, 1) * (c @ solved).squeeze(-1)

    def rectified_map(self, steps: int = 200) -> Tensor:
        """Matrix (D, D) of the exact rectified flow, about the mean.

        Equal to the optimal map where the covariances of X* and of X commute; else its distortion lies between D(0)
        and 2 D*.
        """
        eye = torch.eye(len(self.mean), dtype=torch.float64)
        return (integrate(self.velocity, self.mean + eye, steps=steps, solver="rk4").x - self.mean).T

    def distortion(self, matrix: Tensor) -> float:
        """E|X - X^|^2 of X^ = mean + matrix (X* - mean) (eq. 4)."""
        moved = torch.eye(len(self.mean), dtype=torch.float64) - matrix
        return self.irreducible + float((moved @ self.mean_covariance @ moved.T).trace())

    def latent_map(self, encoder: Tensor) -> Tensor:
        """Matrix (D, D) from X* to X^ where the optimal transport is taken in the latent space of z = encoder x.

        `encoder` (D, D) is invertible and decodes by its inverse: no reconstruction error. Equal to optimal_map() for
        an isometry times any factor (theorem 1), and worse for others.
        """
        source, target = (encoder @ s @ encoder.T for s in (self.mean_covariance, self.covariance))
        return torch.linalg.solve(encoder, transport_matrix(source, target) @ encoder)


def gaussian_wasserstein(mean_a: Tensor, a: Tensor, mean_b: Tensor, b: Tensor) -> float:
    """W2^2 of N(mean_a, a) and N(mean_b, b): |mean_a - mean_b|^2 + tr(a + b - 2 (a^1/2 b a^1/2)^1/2).

    Means are (D,), covariances (D, D), symmetric and positive semidefinite (Dowson and Landau, 1982).

    Examples:
        >>> zero, eye = torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
        >>> round(gaussian_wasserstein(zero, eye, zero + 1, eye), 4)  # the square of it
        2.0
    """
    root = matrix_power(a, 0.5)
    cross = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0.0).sqrt().sum()
    return float((mean_a - mean_b).square().sum() + a.trace() + b.trace() - 2.0 * cross)


def transport_matrix(a: Tensor, b: Tensor) -> Tensor:
    """Matrix (D, D) that carries N(0, a) to N(0, b) at the least squared distance; ValueError for singular a."""
    values = torch.linalg.eigvalsh(a)
    if float(values.min()) <= 1e-12 * float(values.max()):
        raise ValueError(
            "the source's covariance is singular: no map carries it to a distribution that fills the space"
        )
    root, inverse = matrix_power(a, 0.5), matrix_power(a, -0.5)
    return inverse @ matrix_power(root @ b @ root, 0.5) @ inverse


def matrix_power(a: Tensor, exponent: float) -> Tensor:
    """Power of a symmetric positive semi-definite matrix; eigenvalues below zero, from rounding, count as zero."""
    values, vectors = torch.linalg.eigh(0.5 * (a + a.T))
    return (vectors * values.clamp(min=0.0).pow(exponent)) @ vectors.T


def _draw(covariance: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    noise = torch.randn(count, len(covariance), generator=generator, dtype=torch.float64)
    return noise @ matrix_power(covariance, 0.5)
