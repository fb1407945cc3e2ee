"""Verdicts on claims, and the bootstrap that they are drawn from, of numbers made up here."""

import pytest
import torch

from pmrf_blocks.analysis.measurement import SCORES, Measurement, Reference, Results
from pmrf_blocks.analysis.verdicts import verdicts
from pmrf_blocks.experiments import Claim


def results(**values):
    """Results of a restoration's PSNR: label=(values of the seeds), each the mean over twenty images."""
    made = Results()
    images = torch.linspace(-1.0, 1.0, 20, dtype=torch.float64)
    for label, numbers in values.items():
        for seed, value in enumerate(numbers):
            per_image = {"psnr": (value + images + 0.01 * seed * images.flip(0))[None]}
            own = Measurement({"psnr": value}, per_image, torch.zeros(1, 20, 2), torch.zeros(1))
            made.measured.setdefault(("restoration", label), {})[seed] = own
    return made


REFERENCE = Reference(torch.zeros(20, 3, 1, 1), torch.zeros_like)  # as many faces as results() has


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"a": (21.0, 21.2, 21.1), "b": (20.0, 20.2, 20.1)}, "Shows"),
        ({"a": (21.0, 19.4), "b": (20.0, 20.2)}, "Undecided"),
        ({"a": (19.0, 19.2), "b": (20.0, 20.2)}, "Does not show"),
        ({"a": (21.0,), "b": (20.0,)}, "Shows in the one seed"),
        ({"a": (21.0, 21.2)}, "Not run"),
    ],
)
def test_verdicts(values, says):
    claim = Claim("a is better than b", (("restoration", "psnr", ("a", "b")),))
    assert verdicts([claim], results(**values), REFERENCE)[0].startswith(says)


def test_more_claims_make_each_harder():
    """Four in five seeds speak for a: alone it shows, beside four others it does not."""
    values = {"a": (20.5, 20.7, 20.65, 20.9, 20.35), "b": (20.4, 20.55, 20.6, 20.7, 20.35)}
    claim = Claim("a is better than b", (("restoration", "psnr", ("a", "b")),))
    alone, many = (verdicts([claim] * count, results(**values), REFERENCE)[0] for count in (1, 5))
    assert alone == "Shows"
    assert many.startswith("Undecided: as claimed, but within the spread in its comparisons, corrected")


def test_distances_of_sets_are_drawn_as_they_are_measured():
    """A bootstrap sample that has every image once gives the score itself; another one, that of its images."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(6, 3, 16, 16, generator=generator)
    features = torch.randn(18, 4, generator=generator)
    reference = Reference(clean, lambda images: features[: len(images)])
    images = (clean.repeat(2, 1, 1, 1) + 0.1).clamp(0, 1)
    own = reference.measure([(images, clean.repeat(2, 1, 1, 1))])
    counts = torch.tensor([[1, 1, 1, 1, 1, 1], [2, 0, 1, 1, 1, 1]], dtype=torch.float64)
    for score in SCORES:
        first, second = reference.drawn(own, score, counts).tolist()
        assert first == pytest.approx(own.scores[score], rel=1e-4)
        if score not in own.per_image:
            assert second == pytest.approx(reference.distance(score, own.features, torch.tensor([0, 0, 2, 3, 4, 5])))
