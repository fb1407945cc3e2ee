"""The factor on curves whose factor is known."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmrf_blocks.analysis import Curve, StatsError, read_stats, speedup, stats_curve
from pmrf_blocks.cli import main


def sampled(function, end, count):
    xs = tuple(end * (i + 1) / count for i in range(count))
    return Curve(xs, tuple(function(x) for x in xs))


@given(factor=st.floats(1.1, 8.0), count=st.integers(40, 200))
def test_a_run_that_is_faster_by_a_factor_is_found_to_be(factor, count):
    """score(x) = 10 + 90 exp(-x / 100k) against the same at factor * x; straight lines err by the curvature alone."""
    fast = sampled(lambda x: 10 + 90 * math.exp(-factor * x / 1e5), 4e5, 8 * count)
    slow = sampled(lambda x: 10 + 90 * math.exp(-x / 1e5), 4e5, count)
    found = speedup(fast, slow, higher=False)
    assert found.factor == pytest.approx(factor, rel=0.01)
    assert found.fair_factor == found.factor
    negated = [Curve(c.x, tuple(-v for v in c.y)) for c in (fast, slow)]
    assert speedup(*negated, higher=True).factor == pytest.approx(found.factor)


def test_straight_lines_are_exact():
    fast, slow = Curve((100, 200, 300), (30.0, 20.0, 5.0)), Curve((100, 200, 400), (50.0, 40.0, 15.0))
    found = speedup(fast, slow, higher=False)
    assert found.target == 15.0
    assert found.reached == pytest.approx(200 + 100 / 3)
    assert found.factor == pytest.approx(400 / (200 + 100 / 3))
    assert not found.at_first


def test_a_slow_run_that_was_long_flat_gains_nothing_for_it():
    slow = Curve((100, 200, 300, 400), (50.0, 20.0, 20.0, 20.0))
    found = speedup(Curve((50, 100), (40.0, 20.0)), slow, higher=False)
    assert found.factor == 4.0
    assert found.fair_factor == 2.0
    assert speedup(slow, slow, higher=False).fair_factor == 1.0


def test_never_and_from_the_beginning():
    slow = Curve((100, 200), (50.0, 20.0))
    never = speedup(Curve((50, 100), (40.0, 20.1)), slow, higher=False)
    assert never.reached is never.factor is never.fair_factor is None
    assert never.best == 20.1
    early = speedup(Curve((50, 100), (10.0, 9.0)), slow, higher=False)
    assert early.at_first
    assert early.factor == 4.0
    assert speedup(Curve((50, 100), (10.0, 9.0)), slow, higher=True).factor is None


def test_smoothing_looks_back_only_and_undoes_a_lucky_point():
    curve = Curve((1, 2, 3, 4), (8.0, 4.0, 0.0, 4.0))
    assert curve.smoothed(2).y == (8.0, 6.0, 2.0, 2.0)
    assert curve.smoothed(9).y == (8.0, 6.0, 4.0, 4.0)
    assert curve.smoothed(1) == curve
    slow = Curve((10, 20, 30), (9.0, 5.0, 5.0))
    lucky = Curve((1, 2, 3, 4, 5, 6), (9.0, 9.0, 2.0, 9.0, 5.0, 5.0))
    assert speedup(lucky, slow, higher=False).reached < 3
    assert speedup(lucky, slow, higher=False, smoothing=2).reached > 5


def test_bad_curves_are_refused():
    for x, y, message in (
        ((1, 1), (0, 0), "rise"), ((0, 1), (0, 0), "positive"), ((1,), (), "as many"), ((), (), "at least one"),
        ((1,), (math.nan,), "finite"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            Curve(x, y)
    with pytest.raises(ValueError, match="smoothing"):
        Curve((1,), (1,)).smoothed(0)


def run(folder, scores, speed=10.0, name="val_fid"):
    """A run's folder: a line of training and one of validation every 100 steps of 8 images."""
    folder.mkdir(parents=True)
    lines = []
    for i, score in enumerate(scores, 1):
        lines.append({"step": 100 * i, "images": 800 * i, "loss": 1.0, "images_per_second": speed})
        lines.append({"step": 100 * i, "images": 800 * i, name: score, "val_psnr": 20.0 + i})
    (folder / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_stats_are_read_over_any_axis(tmp_path):
    stats = read_stats(run(tmp_path / "run", [40, 30, 20], speed=4.0))
    assert stats_curve(stats, "val_fid") == Curve((800.0, 1600.0, 2400.0), (40.0, 30.0, 20.0))
    assert stats_curve(stats, "val_fid", "steps").x == (100.0, 200.0, 300.0)
    assert stats_curve(stats, "val_fid", "hours").x == pytest.approx([200 / 3600, 400 / 3600, 600 / 3600])
    with pytest.raises(StatsError, match="of validation there are: val_fid, val_psnr"):
        stats_curve(stats, "val_lpips")
    with pytest.raises(ValueError, match="axis"):
        stats_curve(stats, "val_fid", "days")


def test_torn_and_damaged_stats(tmp_path):
    path = run(tmp_path / "run", [40, 30]) / "stats.jsonl"
    whole = path.read_text()
    path.write_text(whole + '{"step": 300, "ima')
    assert len(read_stats(path)) == 4
    path.write_text("{\n" + whole)
    with pytest.raises(StatsError, match="line 1: not JSON"):
        read_stats(path)
    path.write_text('{"a": 1}\n')
    with pytest.raises(StatsError, match="'step' and 'images'"):
        read_stats(path)
    path.write_text("")
    with pytest.raises(StatsError, match="empty"):
        read_stats(path)
    with pytest.raises(StatsError, match="cannot be read"):
        read_stats(tmp_path / "none")


def test_command(tmp_path, capsys):
    fast, slow = run(tmp_path / "latent" / "flow", [40, 20, 10, 5]), run(tmp_path / "pixel" / "flow", [60, 40, 25, 15])
    figure = tmp_path / "figures" / "convergence.png"
    line = [
        "convergence",
        str(fast),
        str(slow / "stats.jsonl"),
        "--score",
        "val_fid",
        "val_psnr",
        "--output",
        str(figure),
    ]
    assert main(line) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == (
        "val_fid: pixel ends with 15 after 3,200 images; latent reaches it after 2,000: 1.60 times sooner"
    )
    assert "1.00 times sooner" in out[1]
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert main([*line[:-1], str(tmp_path / "paper.pdf"), "--style", "paper"]) == 0
    assert b"/MediaBox [ 0 0 482.4 " in (tmp_path / "paper.pdf").read_bytes()
    capsys.readouterr()
    assert main(["convergence", str(fast), str(slow), "--score", "val_fid", "--json", "--axis", "hours"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["val_fid"]["factor"] == pytest.approx(1.6)
    assert main(["convergence", str(slow), str(fast), "--score", "val_fid"]) == 1
    assert "does not reach it (best: 15)" in capsys.readouterr().out
    assert main(["convergence", str(slow), str(fast), "--score", "val_odd"]) == 2
    assert "--higher val_odd" in capsys.readouterr().err
    assert main(["convergence", str(slow), str(fast), "--score", "val_lpips"]) == 2
    assert "no score 'val_lpips'" in capsys.readouterr().err
