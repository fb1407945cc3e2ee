"""The time of a run is divided so that it ends, and that nothing waits for ever; the page tells what has run."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import BENCHMARKS
from benchmarks.on_cuda import MINUTES, ON_CUDA, Times, coverage


def test_the_shares_are_those_of_known_benchmarks_and_of_all_minutes():
    assert set(ON_CUDA) <= set(BENCHMARKS)
    assert {name for name in BENCHMARKS if name.startswith("cuda_")} <= set(ON_CUDA)
    assert sum(work.share for work in ON_CUDA.values()) == pytest.approx(MINUTES)
    assert MINUTES < 10


@given(taken=st.lists(st.floats(0, 1), min_size=len(ON_CUDA), max_size=len(ON_CUDA)))
def test_a_run_ends_in_time_however_long_each_takes(taken):
    """Each takes a part of what it may at most; with nothing left over the last one still has a share."""
    now, deadline, names = 100.0, 100.0 + 60 * MINUTES, list(ON_CUDA)
    for number, part in enumerate(taken):
        times = Times.of(names[number:], now, deadline)
        assert now <= times.last_row <= times.end <= deadline + 1e-6
        if max(taken) <= 0.5:  # nobody had to be ended: each has its share, and what others left
            assert times.last_row - now >= 60 * ON_CUDA[names[number]].share - 1e-6
        now += part * (times.end - now)
    assert now <= deadline + 1e-6


def test_without_minutes_there_is_no_end():
    assert Times.of(["attention"], 5.0, math.inf) == Times(math.inf, math.inf)
    over = Times.of(["attention", "startup"], 5.0, 4.0)
    assert (over.last_row, over.end) == (5.0, 4.0)
    equal = Times.of(["attention", "startup"], 0.0, 60.0)
    assert (equal.last_row, equal.end) == (30.0, 60.0)


def record(accelerator, works, device="cuda", tiny=False):
    rows = [{"benchmark": "cuda_norms", "work": work, "measured": {"ours": {}}} for work in works]
    return {"device": device, "tiny": tiny, "environment": {"accelerator": accelerator}, "rows": rows}


def test_what_has_run_on_a_gpu():
    failed = {"benchmark": "cuda_norms", "work": "rotary embedding of q", "failed": "differs"}
    records = [
        record("H200", ["AdaRMSNorm, 1", "AdaRMSNorm, 2"]),
        record("H200", ["AdaRMSNorm, 2"]),
        record("A100", ["AdaRMSNorm, 2"]),
        record("H200", ["rotary embedding"], tiny=True),
        record("", ["rotary embedding"], device="cpu"),
        {**record("H200", []), "rows": [failed]},
    ]
    lines = "\n".join(coverage(records))
    assert "| cuda_norms | AdaRMSNorm | 1 on A100, 2 on H200 |" in lines
    assert "| cuda_norms | rotary embedding | **never on a GPU** |" in lines
    assert lines.count("never on a GPU") == sum(len(work.subjects) for work in ON_CUDA.values()) - 1
