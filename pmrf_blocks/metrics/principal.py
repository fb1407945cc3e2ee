"""Features seen through a few principal components, so that a distance of hundreds of images is not mostly bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor

from pmrf_blocks.metrics.checks import to_double
from pmrf_blocks.metrics.frechet import Moments


@dataclass(frozen=True)
class PrincipalComponents:
    """A projection, of features (N, D) to (N, count) and of their Moments alike: mean (D,), basis (D, count).

    Examples:
        >>> features = torch.rand(16, 8)
        >>> components = principal_components(features, count=3)
        >>> isinstance(components, PrincipalComponents), components(features).shape
        (True, torch.Size([16, 3]))
    """

    mean: Tensor
    basis: Tensor

    @overload
    def __call__(self, features: Tensor) -> Tensor: ...
    @overload
    def __call__(self, features: Moments) -> Moments: ...
    def __call__(self, features: Tensor | Moments) -> Tensor | Moments:
        if isinstance(features, Moments):
            mean = (features.mean - self.mean) @ self.basis
            return Moments.from_covariance(features.count, mean, self.basis.T @ features.covariance @ self.basis)
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise ValueError(f"features must be (N, {len(self.mean)}); got {tuple(features.shape)}")
        return (to_double(features).to(self.mean.device) - self.mean) @ self.basis


def principal_components(reference: Tensor | Moments, count: int = 64) -> PrincipalComponents:
    """The `count` directions in which the features (N, D) of a reference set vary most (Pearson, 1901; Jolliffe, 2002,
    section 2.1).

        project = principal_components(reference)
        frechet_distance(project(restored), project(reference))

    The Frechet distance is biased upwards by about D^2 / N for D dimensions; with 64 of 1280 some hundred images are
    enough to compare methods. Such numbers compare with nothing but numbers of the same components.

    Raises ValueError for a count below 1 or above D, and for fewer than two features.

    Examples:
        >>> components = principal_components(torch.rand(16, 8), count=3)
        >>> components.basis.shape
        torch.Size([8, 3])
    """
    moments = reference if isinstance(reference, Moments) else Moments.of(reference)
    if not 1 <= count <= len(moments.mean):
        raise ValueError(f"count must be in 1..{len(moments.mean)}, the features' width; got {count}")
    _, vectors = torch.linalg.eigh(moments.covariance)  # ascending
    return PrincipalComponents(moments.mean, vectors[:, -count:].flip(1))
