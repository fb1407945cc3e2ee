"""Figures: curves that go on where they stopped, and the speed-up that is read off them."""

import json
from dataclasses import replace

import pytest

from pmrf_blocks.analysis.speedups import Point, speed_up, speed_up_lines
from pmrf_blocks.commands.arguments.recipe import TableArguments
from pmrf_blocks.experiments import Images, stage_name, trained, with_seed
from pmrf_blocks.experiments.curves import piece_folders, run_curve
from pmrf_blocks.experiments.evaluation import FaceSet
from pmrf_blocks.experiments.launch import make_figure, refuse_of_tables
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


def test_the_papers_scores_are_read_off_where_every_point_has_them():
    """FID and DISTS, by which figure 1 has 5.79 and 5.33."""

    def with_papers(points):
        return [replace(point, scores={**point.scores, "fid": point.scores["fd"], "dists": 0.1}) for point in points]

    slow, fast = with_papers(curve(9.0, 8.0, 6.0)), with_papers(curve(8.0, 6.0, 4.0))
    lines = speed_up_lines("a", "b", {"a": {0: slow}, "b": {0: fast}}, {"b": {0: with_papers(curve(10.0))}})
    assert lines[3] == "- FID: **shows in the one seed that was run**: 1.50 times in steps, 1.50 times in time."
    assert lines[4].startswith("- DISTS: **undecided**")
    assert len(speed_up_lines("a", "b", {"a": {0: slow}, "b": {0: curve(8.0, 6.0)}}, {})) == 3


def test_one_curve_alone_and_its_images(image_folders, place, tmp_path):
    """Every piece keeps its velocity, and by --save-images what it restores; the page waits for the other curve."""
    arguments = TableArguments(
        image_folders, place.runs, scale="debug", device="cpu", output=tmp_path, seeds=(8,), limit=2, allow_dirty=True,
        rows=("PMRF",), save_images=True,
    )  # fmt: skip
    figure = figure3_convergence.debug()
    flow, other = (with_seed(own, 8) for _, own in figure.flows)
    assert make_figure(figure, arguments, "figure3_convergence") == place.runs
    assert not list(tmp_path.iterdir())
    assert all((folder / "model.safetensors").is_file() for folder in piece_folders(flow, 2, place))
    assert not any(folder.exists() for folder in piece_folders(other, 2, place))
    saved = sorted((place.runs / "results").glob(f"curve-{stage_name(flow)}-*/*.png"))
    assert [path.name for path in saved] == ["00000.png", "00001.png"] * 2


@pytest.mark.parametrize("given", [{"methods": ("a=b",)}, {"parts": ("source",)}])
def test_what_is_for_tables_is_refused(tmp_path, given):
    (name,) = given
    figure = figure3_convergence.debug()
    with pytest.raises(ValueError, match=f"--{name}: this recipe is a figure"):
        refuse_of_tables(figure, TableArguments(tmp_path, **given))
    with pytest.raises(ValueError, match="--rows must be among 'PMRF', 'Latent-PMRF'; got 'ELIR'"):
        refuse_of_tables(figure, TableArguments(tmp_path, rows=("ELIR",)))
    refuse_of_tables(figure, TableArguments(tmp_path, rows=("PMRF",), save_images=True))
