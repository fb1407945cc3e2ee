"""What is not equal is not compared; contenders are timed in turn, as often as their time allows."""

import dataclasses
import sys

import pytest
import torch

from benchmarks import report
from benchmarks.comparison import Comparison, Goal, Missing, Seconds, Settings, peer
from benchmarks.measure import measure, observe
from benchmarks.running import compare

TINY = Settings(torch.device("cpu"), tiny=True, repetitions=3, seconds=0.2)


def work(value):
    return lambda: lambda: torch.full((3,), value)


def taking(seconds):
    """A contender that says how long it took, so that no test depends on the clock."""
    return lambda: lambda: Seconds(seconds)


def test_outputs_that_differ_are_not_timed():
    row = compare(Comparison("w", {"ours": work(1.0), "peer": work(1.1)}, tolerance=0.01), TINY)
    assert "measured" not in row
    assert "peer's output differs by 0.091" in row["failed"]
    row = compare(Comparison("w", {"ours": work(1.0), "peer": lambda: lambda: torch.ones(2)}), TINY)
    assert "differs by inf" in row["failed"]
    row = compare(Comparison("w", {"ours": work(1.0), "peer": work(float("nan"))}), TINY)
    assert "differs by nan" in row["failed"]


def test_a_missing_peer_is_one_line():
    row = compare(Comparison("w", {"ours": work(1.0), "peer": lambda: peer("no_such_package", "it")}), TINY)
    assert row["left_out"] == {"peer": "no_such_package cannot be imported: pip install it"}
    assert set(row["measured"]) == {"ours"}
    with pytest.raises(Missing):
        peer("no_such_package")


def broken():
    raise RuntimeError("out of memory\nand much more")


def test_a_peer_that_breaks_does_not_end_the_run():
    row = compare(Comparison("w", {"ours": work(1.0), "peer": lambda: broken}), TINY)
    assert row["left_out"] == {"peer": "RuntimeError: out of memory"}
    assert set(row["measured"]) == {"ours"}
    assert compare(Comparison("w", {"ours": broken}), TINY)["failed"] == "RuntimeError: out of memory"


def test_goals_and_losses():
    goals = (Goal("peer", 3), Goal("peer", 9), Goal("gone", 2), Goal("", 0.05, "seconds"), Goal("", 0.001, "seconds"))
    contenders = {"ours": taking(0.004), "peer": taking(0.02)}
    row = compare(Comparison("w", contenders, goals=goals, tolerance=None), TINY)
    assert [report.verdict(row, goal)[1] for goal in row["goals"]] == ["met", "not met", "", "met", "not met"]
    assert report.factor(row, "peer", "time") == pytest.approx(5)
    record = {"rates": {"operations": {"float32": 1e9}, "bytes": 1e9}}
    assert not any("ruled out" in line for line in report.goals([(row, record)]))  # nobody said what the work needs
    turned = compare(Comparison("w", {"ours": taking(0.02), "peer": taking(0.004)}, tolerance=None), TINY)
    assert "- w: peer is 5.00 times as fast" in list(report.goals([(turned, record)]))


def test_units_scale_the_comparison():
    contenders = {"ours": taking(0.02), "peer": taking(0.01)}
    row = compare(Comparison("w", contenders, units={"ours": 8, "peer": 1}, tolerance=None), TINY)
    assert report.factor(row, "peer", "time") == pytest.approx(4)


def test_repetitions_alternate():
    order = []
    calls = {name: lambda name=name: order.append(name) or Seconds(0.1) for name in "ab"}
    times = measure(calls, TINY)
    assert times["a"]["median"] == 0.1  # what a call says it took counts
    assert order == ["a", "b", "a", "b", "a", "b", "b", "a"]  # warm up, a repetition each, then in turn


def test_long_calls_are_made_once():
    order = []
    calls = {name: lambda name=name, s=s: order.append(name) or Seconds(s) for name, s in (("a", 0.1), ("b", 9.0))}
    times = measure(calls, TINY)
    assert order.count("b") == 1
    assert times["b"] == {"median": 9.0, "quartiles": [9.0, 9.0], "best": 9.0, "repetitions": 1} | {
        "peak_bytes": times["b"]["peak_bytes"]
    }
    assert times["a"]["repetitions"] == 3


def test_a_first_call_that_compiles_is_no_measure():
    """On a GPU a call takes seconds once, and is then worth many repetitions."""
    spent = iter([Seconds(20.0)] + 10 * [Seconds(0.06)])
    times = measure({"a": lambda: next(spent)}, dataclasses.replace(TINY, compiles=True))
    assert (times["a"]["median"], times["a"]["repetitions"]) == (0.06, 3)


def test_a_first_timing_chooses_how_many_repetitions_there_are():
    settings = dataclasses.replace(TINY, seconds=0.5, repetitions=15)
    for seconds, repetitions in ((0.1, 5), (0.3, 3)):
        times = measure({"a": lambda s=seconds: Seconds(s)}, settings)
        assert times["a"]["repetitions"] == repetitions


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory of the processor is read from /proc")
def test_peak_memory():
    seen = observe(lambda: torch.ones(16 * 2**20).sum(), torch.device("cpu"))
    assert float(seen.result) == 16 * 2**20
    assert seen.peak_bytes is not None
    assert 60 * 2**20 < seen.peak_bytes < 90 * 2**20
