"""Tables: debug twins from images to pages."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pmrf_blocks.analysis.measurement import Results
from pmrf_blocks.analysis.verdicts import verdicts
from pmrf_blocks.commands.arguments.recipe import TableArguments
from pmrf_blocks.experiments import Claim, Images, Row, Table
from pmrf_blocks.experiments.evaluation import FaceSet
from pmrf_blocks.experiments.launch import make_table, only
from pmrf_blocks.experiments.pages import NO_VERDICT, Made, markdown
from pmrf_blocks.experiments.tables import run_table
from pmrf_blocks.metrics.registry import EXTRACTORS, Extractor
from pmrf_blocks.training.environment import clean_commit
from recipes import controlled, source_study, table1_vaes, table2_architecture, table3_channels, table4_methods

VAL = Images("faces256/val", 32, held_out=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def arguments(image_folders, runs, tmp_path):
    return TableArguments(
        image_folders, runs, scale="debug", device="cpu", output=tmp_path, seeds=(0,), limit=2, allow_dirty=True
    )


def stamps(runs):
    return {path: path.stat().st_mtime_ns for path in [*runs.glob("*/model"), *runs.glob("results/*.json")]}


def make(recipe, arguments):
    return make_table(only(recipe.debug(), arguments), arguments, recipe.__name__.removeprefix("recipes."))


def test_a_table_trains_measures_and_is_not_done_again(arguments, runs):
    rows = ("Sim-VAE", "- layernorm")
    page = make(table2_architecture, replace(arguments, rows=rows, seeds=(0, 1)))
    text = page.read_text()
    assert "Scale: **debug** (32x32)" in text
    assert "Seeds 0, 1" in text
    for line in ("| Sim-VAE | 2 | ", "| - layernorm | 2 | "):
        assert text.count(line) == 2  # reconstruction and restoration
    assert "| 42.7129 | 0.0073 | 0.0511 |" in text
    assert "DeBruine, L. (2022). webmorphR.stim" in text
    assert NO_VERDICT in text
    assert "**Shows" not in text
    record = json.loads(page.with_suffix(".json").read_text())
    assert set(record["scores"]["restoration: Sim-VAE"]) == {"0", "1"}
    assert record["rows"]["Sim-VAE"]["autoencoder"]["network"]["norm"] == "layer"
    assert page.with_suffix(".jpg").stat().st_size > 1000
    images = replace(arguments, rows=("Sim-VAE",), parts=("reconstruction",), save_images=True)
    make(table2_architecture, images)
    saved = sorted(runs.glob("results/reconstruction-*/*.png"))
    assert [path.name for path in saved] == ["00000.png", "00001.png"]
    assert len(list((runs / "results" / "originals").iterdir())) == 2
    one = json.loads(next(runs.glob("results/restoration-*.json")).read_text())
    assert len(one["per_image"]["psnr"][0]) == 2
    assert one["scores"]["psnr"] == pytest.approx(sum(one["per_image"]["psnr"][0]) / 2)
    before = stamps(runs)
    # the same autoencoder and flow are a row of another table too: nothing is trained for it
    make(table3_channels, replace(arguments, rows=("32 channels",)))
    assert stamps(runs) == before


def test_methods_of_others_are_rows_by_their_files(arguments, runs, tmp_path):
    arches = pytest.importorskip(
        "spandrel.architectures.Compact", reason="spandrel is not installed: pip install pmrf-blocks[background]",
        exc_type=Exception,
    )  # fmt: skip
    file = tmp_path / "net.pth"
    torch.save({"params": arches.Compact(num_feat=8, num_conv=1, upscale=2).state_dict()}, file)
    methods = (f"GFP-GAN={file}", f"Compact={file}")
    page = make(table4_methods, replace(arguments, rows=("posterior mean",), methods=methods))
    record = json.loads(page.with_suffix(".json").read_text())
    assert set(record["scores"]) == {f"restoration: {label}" for label in ("posterior mean", "GFP-GAN", "Compact")}
    scores = [record["scores"][f"restoration: {label}"]["0"]["psnr"] for label in ("GFP-GAN", "Compact")]
    assert scores[0] == scores[1]
    text = page.read_text()
    assert f"--methods {methods[0]} {methods[1]}" in text
    assert "- GFP-GAN: another project's method, by its file net.pth." in text
    assert "24.9861" in text


def of_the_bundled_mean(size):
    """A table of one row that trains nothing."""
    debug = table4_methods.debug()
    row = replace(debug.rows[0], stage=replace(debug.rows[0].stage, published="bundled"))
    return replace(debug, rows=(row,), claims=(), faces=replace(debug.faces, size=size))


def test_the_papers_metrics_are_asked_for_at_the_papers_scale(arguments, monkeypatch):
    def create_metric(name, **options):
        raise OSError("no network")

    def pooled(weights, device):
        return Extractor("dinov2, made up", lambda images: images.mean((2, 3)))

    monkeypatch.setitem(sys.modules, "pyiqa", SimpleNamespace(create_metric=create_metric, __version__="0.0"))
    monkeypatch.setitem(EXTRACTORS, "dinov2", pooled)
    table = of_the_bundled_mean(64)
    page = make_table(table, replace(arguments, scale="paper"), "table4_methods")
    text = page.read_text()
    assert "| FD-DINOv2 ↓ | MMD-DINOv2 ↓ |" in text
    assert "- FD-DINOv2: dinov2, made up." in text
    assert "Columns with a star are stand-ins." in text
    assert "- Not measured: FID: give the file pt_inception-2015-12-05-6726825d.pth (--metric-weights " in text
    assert "MUSIQ: pyiqa could not build musiq (OSError: no network)" in text
    assert "| posterior mean | 1 | " in text
    (told,) = json.loads(page.with_suffix(".json").read_text())["scores"].values()
    assert told["0"]["fd_dinov2"] >= 0
    assert "Not measured" not in make_table(table, replace(arguments, scale="small"), "table4_methods").read_text()
    given = replace(arguments, scale="small", inception=Path("none.pth"))
    with pytest.raises(ValueError, match=r"FID cannot be measured: no such file: none\.pth"):
        make_table(table, given, "table4_methods")


def test_niqe_is_a_column_where_its_parameters_are_given(arguments, tmp_path, monkeypatch):
    calls = []

    def create_metric(name, *, device, **options):
        calls.append((name, options))
        return lambda x: x.mean()

    monkeypatch.setitem(sys.modules, "pyiqa", SimpleNamespace(create_metric=create_metric, __version__="0.0"))
    file = tmp_path / "niqe.mat"
    file.write_bytes(b"parameters")
    with pytest.raises(ValueError, match="NIQE cannot be measured: needs two blocks of 96x96 pixels"):
        make(table4_methods, replace(arguments, metric_weights=(f"niqe={file}",)))
    calls.clear()
    table = of_the_bundled_mean(192)
    made = make_table(table, arguments, "table4_methods")
    assert "NIQE" not in made.read_text()
    given = replace(arguments, metric_weights=(f"niqe={file}",))  # measured again, for what lacks
    page = make_table(table, given, "table4_methods")
    assert calls == [("niqe", {"pretrained_model_path": str(file)})]
    assert "| MMD-Lite0* ↓ | NIQE ↓ |" in page.read_text()
    assert "- NIQE: pyiqa 0.0, niqe, weights " in page.read_text()
    record = json.loads(page.with_suffix(".json").read_text())
    (seeds,) = record["scores"].values()
    assert 0 < seeds["0"]["niqe"] < 1
    assert record["measured_by"]["niqe"].startswith("pyiqa 0.0, niqe, weights ")


@pytest.mark.parametrize(
    ("written", "why"),
    [("a", "LABEL=FILE"), ("a=none.pth", "LABEL=FILE"), ("Latent-PMRF=setup.py", "is one that is trained here")],
)
def test_what_cannot_be_a_row_is_said(arguments, tmp_path, monkeypatch, written, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "setup.py").touch()
    with pytest.raises(ValueError, match=why):
        only(table4_methods.debug(), replace(arguments, methods=(written,)))
    with pytest.raises(ValueError, match="no row of this table restores by an estimator"):
        only(replace(table4_methods.debug(), rows=()), replace(arguments, methods=("a=setup.py",)))


def test_sources_are_decoded_and_flows_with_every_loss_train(arguments):
    page = make(source_study, arguments)
    record = json.loads(page.with_suffix(".json").read_text())
    mean, *flows = (row.label for row in source_study.debug().rows)
    assert set(record["scores"]) == {
        f"restoration: {mean}",
        *(f"{part}: {label}" for part in ("source", "restoration") for label in flows),
    }


def test_baselines_of_the_controlled_experiments_train(arguments):
    blind = [row.label for row in controlled.debug().rows if row.label.startswith("blind-face")]
    labels = [*blind, "super-resolution: PMRF"]
    page = make(controlled, replace(arguments, rows=tuple(labels), degradation_seeds=2))
    text = page.read_text()
    assert len(blind) == 5
    assert all(f"| {row} | 1 | " in text for row in labels)
    assert "2 degradation(s) each" in text
    assert "- blind-face: PMRF distorts less" in text


def test_time_that_is_up_leaves_rows_out_and_says_so(arguments):
    page = make(table1_vaes, replace(arguments, minutes=0.0, seeds=(7,)))
    text = page.read_text()
    assert "- SD-VAE f8c32: not run." in text
    assert "- SD1.5-VAE f8c4: not run (published weights" in text


def test_a_page_of_a_dirty_tree_is_refused_or_says_so(monkeypatch, arguments):
    monkeypatch.setattr("pmrf_blocks.training.environment.git_revision", lambda: "abc123-dirty")
    with pytest.raises(ValueError, match="files differ from commit abc123; commit first, or pass --allow-dirty"):
        make(table1_vaes, replace(arguments, allow_dirty=False))
    assert clean_commit(True) == "abc123 with uncommitted changes"
    monkeypatch.setattr("pmrf_blocks.training.environment.git_revision", lambda: "abc123")
    assert clean_commit(False) == "abc123"
    monkeypatch.setattr("pmrf_blocks.training.environment.git_revision", lambda: None)
    with pytest.raises(ValueError, match="no commit is known"):
        clean_commit(False)


def test_one_autoencoder_for_rows_that_differ_in_it_is_refused(arguments):
    given = replace(arguments, autoencoder="bundled")
    with pytest.raises(ValueError, match="differ in their autoencoders"):
        only(table3_channels.small(), given)
    _, ours, theirs, _ = (row.stage for row in only(source_study.small(), given).rows)
    assert ours.autoencoder.published == theirs.latent_estimator.autoencoder.published == "bundled"


def test_unknown_rows_are_refused(arguments):
    with pytest.raises(ValueError, match="--rows must be among 'Sim-VAE'"):
        only(table2_architecture.debug(), replace(arguments, rows=("VQ-VAE",)))


def test_a_training_that_breaks_down_is_a_result(image_folders, tmp_path, monkeypatch, place):
    from pmrf_blocks.training import TrainingError

    def break_down(*_):
        raise TrainingError("20 updates in a row were skipped")

    monkeypatch.setattr("pmrf_blocks.experiments.tables.measure", break_down)
    row = table2_architecture.debug().rows[2]
    table = Table("t", "T", (row,), (Claim("unstable", (), row.label),), VAL)
    faces = FaceSet(place, VAL)
    made = run_table(table, place, faces, seeds=(0,))
    assert verdicts(table.claims, made, faces.reference)[0].startswith("Shows: seed 0: 20 updates")
    assert "training broke down" in markdown(table, made, faces, Made("debug", "c", "abc", tmp_path))


def test_rows_without_a_stage_show_the_papers_numbers(place, tmp_path):
    rows = (Row("GFP-GAN", None, {"restoration": {"FID": 14.8}}, "another's"),)
    table = Table("t", "T", rows, (), VAL, ("restoration",))
    text = markdown(table, Results(), FaceSet(place, VAL), Made("debug", "c", "abc", tmp_path))
    assert "Not run here.\n\n| | paper: FID |\n|---|---|\n| GFP-GAN | 14.8 |" in text
    assert "- GFP-GAN: not run (another's)." in text


def test_the_other_tables_train_too(arguments, runs):
    """Tables 1 and 4, of which other tests train no row."""
    page = make(table4_methods, replace(arguments, rows=("posterior mean", "PMRF*", "ResShift*")))
    text = page.read_text()
    assert "| PMRF* | 1 | " in text
    assert "| ResShift* | 1 | " in text
    assert "- diffusion in latents: 2 steps of 2" in text
    measured = json.loads(page.with_suffix(".json").read_text())["runtimes"]
    assert [*measured] == ["posterior mean", "PMRF*", "ResShift*"]
    assert all(own["side"] == 32 and own["seconds"] > 0 and "1 thread(s)" in own["device"] for own in measured.values())
    assert measured["posterior mean"]["trained"] == measured["PMRF*"]["frozen"]
    before = stamps(runs)
    assert make(table4_methods, replace(arguments, rows=("PMRF*",))).read_text().count("warm and synchronised") == 1
    assert stamps(runs) == before  # nothing is measured twice
    page = make(table1_vaes, replace(arguments, rows=("SD-VAE f8c32",), parts=("reconstruction",)))
    assert "| SD-VAE f8c32 | 1 | " in page.read_text()
