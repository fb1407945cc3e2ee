"""How far a map is from keeping distances: the distribution of |F(x) - F(y)| / |x - y|.

Theorem 1 (section 3.2) wants an autoencoder that is an isometry. A common factor does no harm: optimal transport
between scaled distributions is the scaled optimal transport. What counts is how much the ratio varies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Isometry:
    """Distance ratios (N,) float64 of N pairs, finite; zero where a map sends two images to one.

    Examples:
        >>> ratios = Isometry(torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64))
        >>> ratios.distortion, ratios.quantile(0.5)
        (2.0, 1.0)
    """

    ratios: Tensor

    @property
    def scale(self) -> float:
        """Geometric mean of the ratios: the factor of the nearest similarity, in logarithms."""
        return float(self.ratios.log().mean().exp())

    @property
    def defect(self) -> float:
        """Standard deviation of the ratios' logarithms; 0 for an isometry times any factor, 0.1 for about 10 %.

        Infinite where a ratio is zero.
        """
        if float(self.ratios.min()) == 0.0:
            return math.inf
        return float(self.ratios.log().std(correction=0))

    @property
    def distortion(self) -> float:
        """Largest ratio over smallest: what the bi-Lipschitz constants of the map are at least apart."""
        return float(self.ratios.max() / self.ratios.min())

    def quantile(self, q: float) -> float:
        """Quantile of the ratios, q in [0, 1]."""
        return float(self.ratios.quantile(q))


def isometry(mapping: Map, x: Tensor, y: Tensor, *, batch: int = 16) -> Isometry:
    """Ratios of pairs (x[i], y[i]) of one shape (B, ...) under `mapping`, an encoder or a decoder.

    ValueError where x[i] equals y[i], the images named by number, or where a result is not finite.

    Examples:
        >>> x, y = torch.rand(2, 5, 4)
        >>> round(isometry(lambda x: 2 * x, x, y).scale, 4)
        2.0
    """
    if x.shape != y.shape or x.ndim < 2 or len(x) == 0:
        raise ValueError(f"x and y must have one shape (B, ...), B at least 1; got {tuple(x.shape)}, {tuple(y.shape)}")
    before = (_flat(x) - _flat(y)).norm(dim=1)
    same = (before == 0).nonzero().flatten().tolist()
    if same:
        raise ValueError(f"pairs must differ; equal: numbers {', '.join(map(str, same[:5]))} ({len(same)} in all)")
    after = (_mapped(mapping, x, batch) - _mapped(mapping, y, batch)).norm(dim=1)
    return Isometry(after / before)


def pairwise_isometry(mapping: Map, x: Tensor, *, batch: int = 16) -> Isometry:
    """Ratios of all B (B - 1) / 2 pairs of x (B, ...), each of which is mapped once; ValueError for equal ones.

    Examples:
        >>> round(pairwise_isometry(lambda x: 2 * x, torch.rand(5, 4)).defect, 4)
        0.0
    """
    if x.ndim < 2 or len(x) < 2:
        raise ValueError(f"x must hold at least two, (B, ...); got {tuple(x.shape)}")
    # not cdist's expansion into products: it loses the digits of small distances
    before, after = torch.pdist(_flat(x)), torch.pdist(_mapped(mapping, x, batch))
    if bool((before == 0).any()):
        raise ValueError(f"pairs must differ; {int((before == 0).sum())} of {len(before)} pairs are equal")
    return Isometry(after / before)


@torch.no_grad()
def _mapped(mapping: Map, x: Tensor, batch: int) -> Tensor:
    result = torch.cat([_flat(mapping(part)) for part in x.split(batch)])
    if not bool(torch.isfinite(result).all()):
        raise ValueError("the mapping gives values that are not finite")
    return result


def _flat(x: Tensor) -> Tensor:
    return x.double().flatten(1)
