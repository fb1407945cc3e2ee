"""Paired comparisons: what they call an effect where there is none, and where there is one."""

import pytest
import torch
from scipy import stats

from pmrf_blocks.analysis.paired import compare, holm, image_draws, p_value


def trial(generator, *, seeds, images, of_seeds, effect=0.0, draws=200):
    """Gains of one method over another: the same images for all seeds, a chance of its own for each seed."""
    image = torch.randn(images, generator=generator, dtype=torch.float64)
    seed = of_seeds * torch.randn(seeds, 1, generator=generator, dtype=torch.float64) / images**0.5
    own = 0.3 * torch.randn(seeds, images, generator=generator, dtype=torch.float64)
    differences = effect + image + seed + own
    counts = image_draws(images, draws, generator=generator)
    return compare(differences.mean(1), differences @ counts.T / images, images=images)


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("of_seeds", [0.0, 1.0, 4.0])
def test_no_effect_rarely_shows(seeds, of_seeds):
    """Under 5 % of pages with one claim show it though there is nothing: over images, seeds, and both."""
    generator = torch.Generator().manual_seed(7)
    trials = [trial(generator, seeds=seeds, images=40, of_seeds=of_seeds) for _ in range(300)]
    shows = sum(one.p <= 0.05 and one.gain > 0 for one in trials)
    assert shows / len(trials) < 0.05


def test_no_effect_rarely_shows_among_several_claims():
    generator = torch.Generator().manual_seed(8)
    pages = 0
    for _ in range(100):
        trials = [trial(generator, seeds=3, images=40, of_seeds=1.0) for _ in range(5)]
        adjusted = holm([one.p for one in trials])
        pages += any(p <= 0.05 and one.gain > 0 for p, one in zip(adjusted, trials))
    assert pages / 100 < 0.05


def test_an_effect_shows_and_is_in_its_interval():
    one = trial(torch.Generator().manual_seed(9), seeds=3, images=100, of_seeds=0.5, effect=2.0)
    assert one.p < 0.01
    assert one.low < 2.0 < one.high
    assert one.seeds == 3


def test_one_seed_is_over_images_alone():
    gains = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    counts = image_draws(4, 4000, generator=torch.Generator().manual_seed(0))
    one = compare(gains.mean()[None], (counts @ gains / 4)[None], images=4)
    expected = stats.ttest_1samp(gains.numpy(), 0.0)
    assert one.p == pytest.approx(expected.pvalue, rel=0.4)  # the bootstrap divides by N, the t-test by N - 1
    assert (one.gain, one.seeds) == (2.5, 1)


def test_p_values_are_students():
    values = torch.tensor([0.2, 0.5, 0.4], dtype=torch.float64)
    expected = stats.ttest_1samp(values.numpy(), 0.0).pvalue
    assert p_value(float(values.mean()), float(values.std()) / 3**0.5, 2) == pytest.approx(expected)
    assert p_value(0.0, 0.0, 2) == 1.0
    assert p_value(1.0, 0.0, 2) == 0.0


def test_holm_is_holms():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match=r"gains must be \(S,\)"):
        compare(torch.zeros(2), torch.zeros(3, 5), images=4)
