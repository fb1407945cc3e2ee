"""The Fréchet distance of two sets of features (FID's formula), from the features or from their moments."""

from __future__ import annotations

import torch
from torch import Tensor

from pmrf_blocks.metrics.feature_checks import check_counts, check_features, check_two


class Moments:
    """Count, mean (D,) and unbiased covariance (D, D) of features that come batch by batch; float64.

    Batches are merged by the deviations from their means (Chan et al., 1979): sums of squares would cancel.

    Examples:
        >>> moments = Moments()
        >>> moments.update(torch.rand(8, 4))
        >>> moments.count, moments.mean.shape
        (8, torch.Size([4]))
    """

    def __init__(self, count: int = 0, mean: Tensor | None = None, deviations: Tensor | None = None) -> None:
        self.count = count
        self._mean, self._deviations = mean, deviations

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Of features (N, D), at once."""
        moments = cls()
        moments.update(features)
        return moments

    @classmethod
    def from_covariance(cls, count: int, mean: Tensor, covariance: Tensor) -> Moments:
        """From what published statistics hold: the mean (D,) and the unbiased covariance (D, D) of `count` features."""
        if count < 2 or mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            raise ValueError(
                f"moments must be of at least 2 features, mean (D,) and covariance (D, D); got {count}, "
                f"{tuple(mean.shape)} and {tuple(covariance.shape)}"
            )
        if not (torch.isfinite(mean).all() and torch.isfinite(covariance).all()):
            raise ValueError("mean and covariance must be finite")
        return cls(count, mean.double(), covariance.double() * (count - 1))

    @property
    def mean(self) -> Tensor:
        if self._mean is None:
            raise ValueError("no features were given yet")
        return self._mean

    @property
    def covariance(self) -> Tensor:
        if self._deviations is None or self.count < 2:
            raise ValueError(f"a covariance needs at least 2 features; got {self.count}")
        return self._deviations / (self.count - 1)

    @property
    def deviations(self) -> Tensor:
        """Sum of the outer products of all features' deviations from the mean, (D, D)."""
        if self._deviations is None:
            raise ValueError("no features were given yet")
        return self._deviations

    def update(self, features: Tensor) -> None:
        """Take in a batch (B, D)."""
        features = check_features(features)
        if not len(features):
            return
        mean = features.mean(0)
        centred = features - mean
        self.merge(Moments(len(features), mean, centred.T @ centred))

    def merge(self, other: Moments) -> None:
        """Take in the features that `other` has seen."""
        if not other.count:
            return
        if self._mean is None or self._deviations is None:
            self.count, self._mean, self._deviations = other.count, other._mean, other._deviations
            return
        if other.mean.shape != self._mean.shape:
            raise ValueError(f"features have {len(other.mean)} dimensions where those before had {len(self._mean)}")
        total = self.count + other.count
        difference = other.mean - self._mean
        spread = torch.outer(difference, difference) * (self.count * other.count / total)
        self._deviations = self._deviations + other.deviations + spread
        self._mean = self._mean + difference * (other.count / total)
        self.count = total


def frechet_distance(a: Tensor | Moments, b: Tensor | Moments) -> Tensor:
    """Squared Wasserstein-2 distance of the Gaussians fitted to two sets of features; a scalar (Heusel et al., 2017).

    Arguments: features (M, D) and (N, D), or their Moments.

    |mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)) with unbiased covariances. Biased upwards for few samples, more
    so for more dimensions: compare only at equal numbers of samples, and distrust it below some thousands.

    Raises ValueError for fewer than two features, two widths, or values that are not finite.

    Examples:
        >>> features = torch.rand(8, 4, dtype=torch.float64)
        >>> round(frechet_distance(features, features + 1.0).item(), 4)  # one in each of four dimensions
        4.0
    """
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return _of_features(*check_two(a, b))
    a, b = (part if isinstance(part, Moments) else Moments.of(part) for part in (a, b))
    check_counts(a.count, b.count)
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features must have one width; got {len(a.mean)} and {len(b.mean)}")
    # The eigenvalues of A B are those of the symmetric A^(1/2) B A^(1/2): no square root of an unsymmetric matrix,
    # whose iteration fails where a covariance is singular.
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp(min=0.0).sqrt()
    cross = torch.linalg.eigvalsh(root.T @ b.covariance @ root).clamp(min=0.0).sqrt().sum()
    spread = a.covariance.trace() + b.covariance.trace() - 2.0 * cross
    return ((a.mean - b.mean).square().sum() + spread).clamp(min=0.0)


def _of_features(a: Tensor, b: Tensor) -> Tensor:
    difference = (a.mean(0) - b.mean(0)).square().sum()
    x, y = ((f - f.mean(0)) / (len(f) - 1) ** 0.5 for f in (a, b))
    # With A = x'x and B = y'y the eigenvalues of A B are the squared singular values of x y': no square root of a
    # D x D matrix, and fewer samples than dimensions do no harm.
    cross = torch.linalg.svdvals(x @ y.T).sum()
    return (difference + x.square().sum() + y.square().sum() - 2.0 * cross).clamp(min=0.0)
