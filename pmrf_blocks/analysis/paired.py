"""Whether one method is better than another: paired by image and by training seed, and corrected for many claims.

Two things are left to chance: which images are measured on, and the training seed. The bootstrap over images, the same
images drawn for both methods (Efron, 1979), says how much the mean would vary over other images. What another seed
would give, a handful of seeds says by a paired t-test (Student, 1908). Both must reject: each alone calls chance an
effect too often where the other kind of chance is the larger. A bootstrap over two or three seeds would, too. Tests
simulate it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """gain: mean difference, positive where the first method is better; low, high: its 95 % interval; p: two-sided;
    seeds: how many trainings it is over (1: the interval is over images alone)."""

    gain: float
    low: float
    high: float
    p: float
    seeds: int


def image_draws(images: int, draws: int, *, generator: torch.Generator) -> Tensor:
    """How often each image is in each of `draws` bootstrap samples: counts (draws, images), float64."""
    chosen = torch.randint(images, (draws, images), generator=generator)
    return torch.zeros(draws, images, dtype=torch.float64).scatter_add_(1, chosen, torch.ones_like(chosen).double())


def compare(gains: Tensor, drawn: Tensor, *, images: int) -> Comparison:
    """Of gains (S,), one a training seed, over all images, and the same over bootstrap samples of the images, drawn
    (S, draws), sample by sample the same images for every seed.

    ValueError for other shapes, or fewer than two images.
    """
    if gains.ndim != 1 or drawn.ndim != 2 or len(gains) != len(drawn) or not len(gains) or images < 2:
        raise ValueError(f"gains must be (S,), drawn (S, draws), of two images at least; got {tuple(gains.shape)}, "
                         f"{tuple(drawn.shape)} and {images}")  # fmt: skip
    seeds, gain = len(gains), float(gains.mean())
    of_seeds = float(gains.var()) / seeds if seeds > 1 else 0.0
    tests = [(math.sqrt(float(drawn.mean(0).var()) + of_seeds), images - 1)]  # (standard error, degrees of freedom)
    if seeds > 1:
        tests.append((math.sqrt(of_seeds), seeds - 1))
    reach = max(reach_of(error, freedom) for error, freedom in tests)
    p = max(p_value(gain, error, freedom) for error, freedom in tests)
    return Comparison(gain, gain - reach, gain + reach, p, seeds)


def reach_of(error: float, freedom: float) -> float:
    """Half of the width of the 95 % interval of a mean with this standard error and these degrees of freedom."""
    from scipy import stats

    return error * float(stats.t.ppf(0.975, freedom))


def p_value(mean: float, error: float, freedom: float) -> float:
    """Two-sided, of a mean that is zero in truth (Student, 1908)."""
    from scipy import stats

    return 2.0 * float(stats.t.sf(abs(mean) / error, freedom)) if error else float(mean == 0.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted so that the chance of any false rejection among them is the level (Holm, 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def word(compared: Mapping[str, Comparison], p: float) -> str:
    """The verdict on a claim with these comparisons, positive gains as claimed, and this corrected p-value."""
    against = [f"{what} ({one.gain:+.3g})" for what, one in compared.items() if one.gain <= 0]
    if against:
        return f"Does not show: not in {'; '.join(against)}"
    if p > LEVEL:
        close = [
            f"{what} ({one.gain:+.3g}, 95 % interval {one.low:+.3g} to {one.high:+.3g})"
            for what, one in compared.items()
            if one.p > LEVEL
        ] or ["its comparisons, corrected for all claims here"]
        return f"Undecided: as claimed, but within the spread in {'; '.join(close)}"
    return "Shows" if min(one.seeds for one in compared.values()) > 1 else "Shows in the one seed that was run"
