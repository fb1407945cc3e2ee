"""Figures: curves that go on where they stopped, and the speed-up that is read off them."""

import json

import pytest

from pmrf_blocks.analysis.speedups import Point, speed_up, speed_up_lines
from pmrf_blocks.experiments import Images, trained, with_seed
from pmrf_blocks.experiments.curves import piece_folders, run_curve
from pmrf_blocks.experiments.evaluation import FaceSet
from pmrf_blocks.experiments.launch import TableArguments, make_figure, refuse_of_tables
from pmrf_blocks.experiments.release import write_pipelines
from recipes import figure3_convergence, pmrf

pytest.importorskip("matplotlib")
TEST = Images("faces256/test", 32, held_out=True)


def stamps(runs):
    return {path: path.stat().st_mtime_ns for path in [*runs.glob("*/model"), *runs.glob("results/*.json")]}


def test_curves_go_on_where_they_stopped(image_folders, place, tmp_path):
    arguments = TableArguments(
        image_folders, place.runs, scale="debug", device="cpu", output=tmp_path, seeds=(5,), limit=2, allow_dirty=True
    )
    page = make_figure(figure3_convergence.debug(), arguments, "figure3_convergence")
    assert page.with_suffix(".png").stat().st_size > 1000
    record = json.loads(page.with_suffix(".json").read_text())
    curves = record["curves"]
    for label in ("PMRF", "Latent-PMRF"):
        assert [point["step"] for point in curves[label]["5"]] == [1, 2]
        assert [point["step"] for point in record["starts"][label]["5"]] == [0]
        assert curves[label]["5"][0]["seconds"] < curves[label]["5"][1]["seconds"]
    assert "**shows" not in page.read_text()
    before = stamps(place.runs)
    make_figure(figure3_convergence.debug(), arguments, "figure3_convergence")
    assert stamps(place.runs) == before


def test_a_flow_that_a_table_trained_gets_its_curve(place, monkeypatch):
    """It is trained once more, with measurements, to the same weights; what the table has stays valid."""
    flow = with_seed(pmrf.debug(), 1)
    before = trained(flow, place)
    faces = FaceSet(place, TEST, limit=2)
    points = run_curve(flow, 2, place, faces)
    assert [point.step for point in points] == [1, 2]
    after = trained(flow, place)
    assert all(bool((a == b).all()) for a, b in zip(before.parameters(), after.parameters()))
    monkeypatch.setattr("pmrf_blocks.experiments.fitting.fit", None)  # nothing is trained again
    assert run_curve(flow, 2, place, faces) == points


def test_many_processes_leave_pieces_that_one_measures(place, monkeypatch):
    faces = FaceSet(place, TEST, limit=2)
    flow = with_seed(pmrf.debug(), 3)
    with monkeypatch.context() as patch:
        patch.setattr("pmrf_blocks.experiments.curves.world_size", lambda: 2)
        assert run_curve(flow, 2, place, faces) == []
    seconds = [float((folder / "seconds.json").read_text()) for folder in piece_folders(flow, 2, place)]
    monkeypatch.setattr("pmrf_blocks.experiments.fitting.fit", None)  # nothing is trained again
    points = run_curve(flow, 2, place, faces)
    write_pipelines(flow, place, place.runs / "released")  # what a figure trained is as good as a recipe's
    assert json.loads((place.runs / "released/provenance.json").read_text())["stages"]["flow"]["steps"] == 2
    assert [point.step for point in points] == [1, 2]
    assert [point.seconds for point in points] == [seconds[0], seconds[0] + seconds[1]]


def curve(*values):
    scores = ("fd", "mmd", "feature_distance")
    return [Point(10 * (i + 1), 2.0 * (i + 1), dict.fromkeys(scores, value)) for i, value in enumerate(values)]


def test_speed_up_is_read_off_the_curves():
    slow, fast = curve(9.0, 8.0, 7.0, 6.0), curve(8.0, 6.0, 4.0, 3.0)
    assert speed_up(slow, fast, "fd") == (2.0, 2.0)
    assert speed_up(curve(9.0, 8.0, 7.0, 5.0), fast, "fd") == (1.6, 1.6)
    assert speed_up(curve(9.0, 8.0, 7.0, 1.0), fast, "fd") is None
    assert speed_up(fast, slow, "fd") is None


def test_a_speed_up_that_is_none_is_said():
    fast, slow = curve(8.0, 6.0, 4.0), curve(9.0, 8.0, 6.0)
    curves = {"PMRF": {0: slow}, "Latent-PMRF": {0: fast}}
    starts = {"Latent-PMRF": {0: curve(10.0)}}
    lines = speed_up_lines("PMRF", "Latent-PMRF", curves, starts)
    assert lines[0] == "- FD-Lite0*: **shows in the one seed that was run**: 1.50 times in steps, 1.50 times in time."
    lines = speed_up_lines("PMRF", "Latent-PMRF", {"PMRF": {0: fast}, "Latent-PMRF": {0: slow}}, starts)
    assert all("**does not show**" in line for line in lines)
    lines = speed_up_lines("PMRF", "Latent-PMRF", curves, {"Latent-PMRF": {0: curve(5.0)}})
    assert all("**undecided**" in line for line in lines)
    assert "at least; but Latent-PMRF is beyond what PMRF ends with before its flow is trained at all" in lines[0]


def test_seeds_that_differ_leave_a_speed_up_undecided():
    slow = {seed: curve(9.0, 8.0, 6.0) for seed in range(3)}
    alike = {seed: curve(8.0, 6.0 - 0.01 * seed, 4.0) for seed in range(3)}
    starts = {"Latent-PMRF": {seed: curve(10.0) for seed in range(3)}}
    lines = speed_up_lines("PMRF", "Latent-PMRF", {"PMRF": slow, "Latent-PMRF": alike}, starts)
    assert all("**shows**: 1.5" in line for line in lines)
    unlike = {0: curve(8.0, 6.0, 4.0), 1: curve(8.9, 8.8, 6.0), 2: curve(8.9, 7.0, 5.9)}
    lines = speed_up_lines("PMRF", "Latent-PMRF", {"PMRF": slow, "Latent-PMRF": unlike}, starts)
    assert all("**undecided, within the spread over seeds**" in line for line in lines)


@pytest.mark.parametrize("given", [{"rows": ("PMRF",)}, {"parts": ("source",)}, {"save_images": True}])
def test_what_is_for_tables_is_refused(tmp_path, given):
    (name,) = given
    with pytest.raises(ValueError, match=f"--{name.replace('_', '-')}: this recipe is a figure"):
        refuse_of_tables(TableArguments(tmp_path, **given))
    refuse_of_tables(TableArguments(tmp_path))
