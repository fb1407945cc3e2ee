"""Tables and figures: their debug twins from images to pages, and what their pages say of numbers made up here."""

import json
from dataclasses import replace

import pytest
import torch

from recipes.common.curves import Point, reached, run_curve, speed_up, speed_up_lines
from recipes.common.evaluation import FaceSet
from recipes.common.fitting import Place, flow_ends, trained
from recipes.common.page import HIGHER, markdown
from recipes.common.sizes import held_out
from recipes.common.stages import Flow, stage_name, with_seed
from recipes.common.table_command import TableArguments, make_figure, make_table, only
from recipes.common.tables import Claim, Results, Row, Table, run_table, verdict
from recipes.controlled import controlled, methods
from recipes.elir import elir
from recipes.figure3_convergence import figure3_convergence
from recipes.figure9_vae_convergence import figure9_vae_convergence
from recipes.latent_pmrf import latent_pmrf
from recipes.pmrf import pmrf
from recipes.source_study import ELIR, OURS, THEIRS, source_study
from recipes.table1_vaes import table1_vaes
from recipes.table2_architecture import table2_architecture
from recipes.table3_channels import table3_channels
from recipes.table4_methods import table4_methods

TABLES = (table1_vaes, table2_architecture, table3_channels, table4_methods, source_study, controlled)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def arguments(image_folders, runs, tmp_path):
    return TableArguments(image_folders, runs, scale="debug", device="cpu", output=tmp_path, seeds=(0,), limit=2)


def stamps(runs):
    return {path: path.stat().st_mtime_ns for path in [*runs.glob("*/model"), *runs.glob("results/*.json")]}


def test_a_table_trains_measures_and_is_not_done_again(arguments, runs):
    rows = ("Sim-VAE", "- layernorm")
    page = make_table(table2_architecture, replace(arguments, rows=rows, seeds=(0, 1)))
    text = page.read_text()
    assert "Scale: **debug** (32x32)" in text
    assert "Seeds 0, 1" in text
    for line in ("| Sim-VAE | 2 | ", "| - layernorm | 2 | "):
        assert text.count(line) == 2  # reconstruction and restoration
    assert "| 42.7129 | 0.0073 | 0.0511 |" in text
    assert "DeBruine, L. (2022). webmorphR.stim" in text
    record = json.loads(page.with_suffix(".json").read_text())
    assert set(record["scores"]["restoration: Sim-VAE"]) == {"0", "1"}
    assert page.with_suffix(".jpg").stat().st_size > 1000
    images = replace(arguments, rows=("Sim-VAE",), parts=("reconstruction",), save_images=True)
    make_table(table2_architecture, images)
    saved = sorted(runs.glob("results/reconstruction-*/*.png"))
    assert [path.name for path in saved] == ["00000.png", "00001.png"]
    assert len(list((runs / "results" / "originals").iterdir())) == 2
    before = stamps(runs)
    # the same autoencoder and flow are a row of another table too: nothing is trained for it
    make_table(table3_channels, replace(arguments, rows=("32 channels",)))
    assert stamps(runs) == before


def test_sources_are_decoded_and_flows_with_every_loss_train(arguments):
    page = make_table(source_study, arguments)
    record = json.loads(page.with_suffix(".json").read_text())
    assert set(record["scores"]) == {
        "restoration: posterior mean",
        *(f"{part}: {label}" for part in ("source", "restoration") for label in (OURS, THEIRS, ELIR)),
    }
    assert all(verdict != "Not run" for verdict in record["claims"].values())


def test_baselines_of_the_controlled_experiments_train(arguments):
    rows = tuple(f"super-resolution: {label}" for label in methods("debug", "super-resolution"))
    page = make_table(controlled, replace(arguments, rows=rows))
    text = page.read_text()
    assert all(f"| {row} | 1 | " in text for row in rows)
    assert "- super-resolution: PMRF distorts less" in text
    assert "**Not run.**" in text  # the other degradations


def test_curves_go_on_where_they_stopped(arguments, runs):
    page = make_figure(figure3_convergence, replace(arguments, seeds=(5,)))
    assert page.with_suffix(".png").stat().st_size > 1000
    record = json.loads(page.with_suffix(".json").read_text())
    curves = record["curves"]
    for label in ("PMRF", "Latent-PMRF"):
        assert [point["step"] for point in curves[label]["5"]] == [1, 2]
        assert [point["step"] for point in record["starts"][label]["5"]] == [0]
        assert curves[label]["5"][0]["seconds"] < curves[label]["5"][1]["seconds"]
    before = stamps(runs)
    make_figure(figure3_convergence, replace(arguments, seeds=(5,)))
    assert stamps(runs) == before


def test_a_flow_trained_without_measurements_has_no_curve(image_folders, runs):
    place = Place(image_folders, runs, "cpu")
    flow = with_seed(pmrf("debug"), 1)
    trained(flow, place)
    faces = FaceSet(held_out("debug", "test"), place.images, limit=2, device="cpu")
    with pytest.raises(ValueError, match="was trained without measurements on the way"):
        run_curve(flow, 2, place, faces)


def test_many_processes_leave_pieces_that_one_measures(image_folders, runs, monkeypatch):
    place = Place(image_folders, runs, "cpu")
    faces = FaceSet(held_out("debug", "test"), place.images, limit=2, device="cpu")
    flow = with_seed(replace(latent_pmrf("debug"), autoencoder=None), 3)
    flow = replace(flow, velocity=pmrf("debug").velocity)
    with monkeypatch.context() as patch:
        patch.setattr("recipes.common.curves.world_size", lambda: 2)
        assert run_curve(flow, 2, place, faces) == []
    seconds = [float(path.read_text()) for path in sorted(place.folder(flow).glob("pieces/*/seconds.json"))]
    monkeypatch.setattr("recipes.common.fitting.fit", None)  # nothing is trained again
    points = run_curve(flow, 2, place, faces)
    assert [point.step for point in points] == [1, 2]
    assert [point.seconds for point in points] == [seconds[0], seconds[0] + seconds[1]]


def test_time_that_is_up_leaves_rows_out_and_says_so(arguments):
    page = make_table(table1_vaes, replace(arguments, minutes=0.0, seeds=(7,)))
    text = page.read_text()
    assert "- SD-VAE f8c32: not run." in text
    assert "- SD1.5-VAE f8c4: not run (published weights" in text
    assert "**Not run.**" in text


def test_one_autoencoder_for_rows_that_differ_in_it_is_refused(arguments):
    given = replace(arguments, autoencoder="bundled")
    with pytest.raises(ValueError, match="differ in their autoencoders"):
        only(table3_channels("small"), given)
    rows = {row.label: row.stage for row in only(source_study("small"), given).rows}
    assert rows[OURS].autoencoder.published == rows[THEIRS].latent_estimator.autoencoder.published == "bundled"


def test_the_networks_that_ship_serve_small_recipes(image_folders, tmp_path):
    flow = replace(latent_pmrf("small"), estimator=replace(latent_pmrf("small").estimator, published="bundled"))
    flow = replace(flow, autoencoder=replace(flow.autoencoder, published="bundled"))
    ends = flow_ends(flow, Place(image_folders, tmp_path))
    source, _ = ends.start(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert source.shape == (1, flow.velocity.arguments["in_channels"], 8, 8)


def test_unknown_rows_are_refused(arguments):
    with pytest.raises(ValueError, match="--rows must be among 'Sim-VAE'"):
        only(table2_architecture("debug"), replace(arguments, rows=("VQ-VAE",)))


@pytest.mark.parametrize("recipe", TABLES)
def test_tables_are_whole_at_every_scale(recipe):
    paper, small = recipe("paper"), recipe("small")
    assert [row.label for row in paper.rows] == [row.label for row in small.rows]
    assert [row.paper for row in paper.rows] == [row.paper for row in small.rows]
    labels = {row.label for row in paper.rows}
    for claim in paper.claims:
        assert {label for _, _, order in claim.orders for label in order} <= labels
        assert all(score in HIGHER and part in paper.parts for part, score, _ in claim.orders)


def test_rows_of_one_table_differ():
    for recipe in TABLES:
        names = [stage_name(row.stage) for row in recipe("paper").rows if row.stage is not None]
        assert len(set(names)) == len(names), recipe.__name__


def test_an_ablation_changes_one_field():
    whole, *others = (row.stage for row in table2_architecture("paper").rows[:4])
    for other in others:
        back = replace(other.autoencoder, network=whole.autoencoder.network)
        assert replace(other, autoencoder=back) == whole
        given, ours = (stage.autoencoder.network.arguments for stage in (other, whole))
        assert len(set(given.items()) - set(ours.items())) == 1


def test_baselines_differ_where_they_should():
    rows = methods("paper", "denoising")
    assert {
        label: (row.source, row.condition, row.source_noise) for label, row in rows.items() if type(row) is Flow
    } == {
        "PMRF": ("posterior-mean", None, 0.025),
        "flow from y": ("degraded", None, 0.025),
        "flow conditioned on y": ("noise", "degraded", 1.0),
        "flow conditioned on mean": ("noise", "posterior-mean", 1.0),
    }
    assert (elir().loss, elir().source, elir().source_noise) == ("consistency", "mean-of-latents", 0.1)


def test_figure9_compares_autoencoders_of_as_many_channels():
    for scale in ("paper", "small"):
        figure = figure9_vae_convergence(scale)
        channels = {flow.velocity.arguments["in_channels"] for _, flow in (figure.slow, figure.fast)}
        assert channels == {16}


def results(**values):
    """Results of a restoration's PSNR: label=(values of the seeds)."""
    made = Results()
    for label, numbers in values.items():
        for seed, value in enumerate(numbers):
            made.add("restoration", label, seed, {"scores": {"psnr": value}})
    return made


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"a": (21.0, 21.2), "b": (20.0, 20.2)}, "Shows"),
        ({"a": (21.0, 19.4), "b": (20.0, 20.2)}, "Undecided"),
        ({"a": (19.0, 19.2), "b": (20.0, 20.2)}, "Does not show"),
        ({"a": (21.0,), "b": (20.0,)}, "Shows in the one seed"),
        ({"a": (21.0, 21.2)}, "Not run"),
    ],
)
def test_verdicts(values, says):
    claim = Claim("a is better than b", (("restoration", "psnr", ("a", "b")),))
    assert verdict(claim, results(**values), HIGHER).startswith(says)


def test_a_training_that_breaks_down_is_a_result(image_folders, tmp_path, monkeypatch):
    from pmrf_blocks.training import TrainingError

    def break_down(*_):
        raise TrainingError("20 updates in a row were skipped")

    monkeypatch.setattr("recipes.common.tables.measure", break_down)
    row = table2_architecture("debug").rows[2]
    table = Table("t", "T", (row,), (Claim("unstable", (), row.label),))
    place = Place(image_folders, tmp_path, "cpu")
    faces = FaceSet(held_out("debug", "val"), place.images)
    made = run_table(table, place, faces, seeds=(0,))
    assert verdict(table.claims[0], made, HIGHER).startswith("Shows: seed 0: 20 updates")
    assert "training broke down" in markdown(table, made, faces, scale="debug", command="c")


def curve(*values):
    return [Point(10 * (i + 1), 2.0 * (i + 1), {"fd": value}) for i, value in enumerate(values)]


def test_speed_up_is_read_off_the_curves():
    slow, fast = curve(9.0, 8.0, 7.0, 6.0), curve(8.0, 6.0, 4.0, 3.0)
    assert reached(fast, "fd", 6.0) == (20.0, 4.0)
    assert reached(fast, "fd", 5.0) == (25.0, 5.0)
    assert reached(fast, "fd", 1.0) is None
    assert speed_up(slow, fast, "fd") == (2.0, 2.0)
    assert speed_up(fast, slow, "fd") is None


def test_a_speed_up_that_is_none_is_said():
    figure = figure3_convergence("debug")

    def points(*values):
        return [
            replace(p, scores=dict.fromkeys(("fd", "mmd", "feature_distance"), p.scores["fd"])) for p in curve(*values)
        ]

    fast, slow = points(8.0, 6.0, 4.0), points(9.0, 8.0, 6.0)
    curves = {"PMRF": {0: slow}, "Latent-PMRF": {0: fast}}
    starts = {"Latent-PMRF": {0: points(10.0)}}
    assert speed_up_lines(figure, curves, starts)[0] == "- FD: **shows**: 1.50 times in steps, 1.50 times in time."
    lines = speed_up_lines(figure, {"PMRF": {0: fast}, "Latent-PMRF": {0: slow}}, starts)
    assert all("**does not show**" in line for line in lines)
    lines = speed_up_lines(figure, curves, {"Latent-PMRF": {0: points(5.0)}})
    assert all("**undecided**" in line for line in lines)
    assert "at least; but Latent-PMRF is beyond what PMRF ends with before its flow is trained at all" in lines[0]


def test_rows_without_a_stage_show_the_papers_numbers(image_folders, tmp_path):
    faces = FaceSet(held_out("debug", "val"), Place(image_folders, tmp_path).images)
    table = Table("t", "T", (Row("GFP-GAN", None, {"restoration": {"FID": 14.8}}, "another's"),), (), ("restoration",))
    text = markdown(table, Results(), faces, scale="debug", command="c")
    assert "Not run here.\n\n| | paper: FID |\n|---|---|\n| GFP-GAN | 14.8 |" in text
    assert "- GFP-GAN: not run (another's)." in text
