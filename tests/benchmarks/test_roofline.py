"""The limit is the longer of two times; the page says how near contenders are to it, and which goals it rules out."""

import pytest
import torch

from benchmarks import report, roofline
from benchmarks.comparison import Comparison, Goal, Seconds, Settings
from benchmarks.needs import Need
from benchmarks.running import compare

TINY = Settings(torch.device("cpu"), tiny=True, repetitions=3, seconds=0.2)
RECORD = {"rates": {"operations": {"float32": 1e9, "bfloat16": 4e9}, "bytes": 1e9}}


def taking(seconds):
    return lambda: lambda: Seconds(seconds)


def test_the_limit_is_the_longer_of_two_times():
    contenders = {"ours": taking(0.008), "peer": taking(0.02)}
    row = compare(Comparison("w", contenders, tolerance=None, need=Need(1e6, 4e6), units={"ours": 2}), TINY)
    assert roofline.bounds(row, "ours", RECORD) == pytest.approx((0.5e-3, 2e-3))
    assert roofline.share(row, "ours", RECORD) == pytest.approx(0.5)
    assert roofline.share(row, "peer", RECORD) is None  # another work, of which nothing is said
    assert "0.0005 GFLOP take at least 0.5 ms, 2 MB at least 2 ms; ours reaches 50 %" in roofline.describe(row, RECORD)
    bytes_alone = compare(Comparison("w", contenders, tolerance=None, need=Need(traffic=4e6)), TINY)
    assert roofline.describe(bytes_alone, RECORD).startswith("Roofline of ours: 4 MB at least 4 ms; ours reaches 50 %")
    unknown = compare(Comparison("w", contenders, tolerance=None), TINY)
    assert roofline.describe(unknown, RECORD) == ""


def test_a_peer_has_a_need_of_its_own_in_its_own_precision():
    needs = {"peer": Need(2e6)}
    comparison = Comparison("w", {"ours": taking(0.002), "peer": taking(0.004)}, tolerance=None,
                            need=Need(4e6, dtype=torch.bfloat16), needs=needs)  # fmt: skip
    row = compare(comparison, TINY)
    assert roofline.share(row, "ours", RECORD) == pytest.approx(0.5)  # at four times the rate
    assert roofline.share(row, "peer", RECORD) == pytest.approx(0.5)
    assert "| 50 % |" in list(report.table(row, RECORD))[-2]


def test_a_missed_goal_says_whether_the_device_allows_it():
    goals = (Goal("peer", 3), Goal("peer", 9), Goal("peer", 1.5), Goal("peer", 2, "memory"), Goal("gone", 2))
    comparison = Comparison("w", {"ours": taking(0.01), "peer": taking(0.02)}, goals=goals, tolerance=None,
                            need=Need(4e6), needs={"peer": Need(16e6)})  # fmt: skip
    row = compare(comparison, TINY)
    lines = [line for line in report.goals([(row, RECORD)]) if "ruled out" in line]
    assert lines == [
        "- w, against peer: at best 4 ms, so at most 5.00x, and 3x is not ruled out; of its limit ours reaches 40 %, "
        "peer 80 %",
        "- w, against peer: at best 4 ms, so at most 5.00x, and 9x is ruled out; of its limit ours reaches 40 %, "
        "peer 80 %",
    ]  # the third was met, and the others are not about time or not measured
