"""What a restoration takes: whose parameters count as trained, how calls are timed, what the page says."""

import time

import pytest
import torch
from torch import nn

from pmrf_blocks.experiments import Row, runtime
from pmrf_blocks.experiments.pages import runtime_table
from pmrf_blocks.experiments.runtime import Runtime, measure_runtime
from pmrf_blocks.experiments.tables import Results
from pmrf_blocks.restoration import PMRF, PosteriorMean


class Halve(nn.Module):
    """A velocity of 3 * 3 parameters."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(3, 3, 1, bias=False)

    def forward(self, x, t):
        return -0.5 * self.mix(x)


def test_the_velocity_is_what_is_trained():
    estimator = nn.Conv2d(3, 3, 3, padding=1)
    own = measure_runtime(PMRF(estimator=estimator, velocity=Halve(), size=16, steps=2), 16, "cpu")
    assert (own.trained, own.frozen, own.side, own.calls) == (9, 84, 16, runtime.CALLS)
    own = measure_runtime(PosteriorMean(estimator=estimator, size=16), 16, "cpu")
    assert (own.trained, own.frozen, own.parameters) == (84, 0, "0.00")


def test_the_first_call_is_not_counted_and_long_ones_are_few(monkeypatch):
    """The first takes long, the others 0.02 s; two of these are more than the time there is."""
    slept = iter([0.5, 0.02, 0.02, 0.02, 0.02, 0.02])

    class Slow(PosteriorMean):
        def restore(self, *arguments, **options):
            time.sleep(next(slept))

    own = measure_runtime(Slow(estimator=nn.Identity(), size=8), 8, "cpu")
    assert own.calls == 5
    assert 0.02 <= own.seconds < 0.4
    slept = iter([0.0, 0.02, 0.02, 0.02])
    monkeypatch.setattr(runtime, "SECONDS", 0.03)
    assert measure_runtime(Slow(estimator=nn.Identity(), size=8), 8, "cpu").calls == 2


def test_the_table_sets_ours_beside_the_papers():
    paper = {"runtime": {"s on an A100": 0.5745, "trained, M": 151.2, "frozen, M": 106.8}}
    rows = (Row("ours", None, paper), Row("GFP-GAN", None, {"runtime": {"s on an A100": 0.0218}}), Row("none", None))
    results = Results(runtimes={"ours": Runtime(0.123456, 5, 512, "a GPU", 151_000_000, 107_000_000)})
    head, _, ours, other, _, note = runtime_table(rows, results)
    assert head.startswith("| | seconds an image | parameters, M | paper: s on an A100 |")
    assert ours == "| ours | 0.1235 | 151.00 + 107.00 | 0.5745 | 151.2 | 106.8 |"
    assert other == "| GFP-GAN |  |  | 0.0218 |  |  |"
    assert "median of 5 restorations of one 512x512 image on a GPU, warm and synchronised" in note
    assert runtime_table(rows[:2], Results())[2] == "| ours | 0.5745 | 151.2 | 106.8 |"
    assert runtime_table(rows[2:], Results()) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_named_and_waited_for():
    own = measure_runtime(PosteriorMean(estimator=nn.Conv2d(3, 3, 3, padding=1), size=64).cuda(), 64, "cuda")
    assert own.device == torch.cuda.get_device_name()
