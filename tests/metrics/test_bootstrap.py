"""Intervals of a mean cover it as often as they say."""

import pytest
import torch

from pmrf_blocks.metrics import bootstrap_interval


def test_bootstrap_covers_the_mean_of_a_known_distribution(generator):
    inside = 0
    for _ in range(200):
        values = torch.randn(40, generator=generator)
        low, high = bootstrap_interval(values, generator=generator, resamples=200)
        inside += low <= 0.0 <= high
    assert 0.88 <= inside / 200 <= 0.98
    seeds = [bootstrap_interval(values, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert seeds[0] == seeds[1] != seeds[2]
    with pytest.raises(ValueError, match="at least 2 values"):
        bootstrap_interval(values[:1], generator=generator)
