"""Confidence intervals of means over images."""

from __future__ import annotations

import torch
from torch import Tensor


def bootstrap_interval(
    values: Tensor, *, generator: torch.Generator, resamples: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the mean of `values` (N,): images drawn anew, with replacement (Efron, 1979).

    It says how much the mean would vary over other images of the same kind; not over seeds of the method, nor over
    degradations. Not a number where a value is infinite. Source: Efron, "Bootstrap methods", section 1 (1979).

    Raises ValueError for fewer than two values, no resample, or a level outside (0, 1).

    Examples:
        >>> low, high = bootstrap_interval(torch.arange(10.0), generator=torch.Generator().manual_seed(0))
        >>> low < 4.5 < high
        True
    """
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"an interval needs at least 2 values (N,); got {tuple(values.shape)}")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"resamples must be at least 1 and level inside (0, 1); got {resamples} and {level}")
    values = values.double().cpu()
    means = torch.empty(resamples, dtype=torch.float64)
    for start in range(0, resamples, 64):
        part = means[start : start + 64]
        part.copy_(values[torch.randint(len(values), (len(part), len(values)), generator=generator)].mean(1))
    tail = (1.0 - level) / 2.0
    low, high = torch.quantile(means, torch.tensor([tail, 1.0 - tail], dtype=torch.float64))
    return float(low), float(high)
