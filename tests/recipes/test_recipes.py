"""Recipes: the paper's numbers, whole configurations at every scale, and the command line."""

import ast
import json
import runpy
import shlex
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch

from pmrf_blocks.analysis.measurement import SCORES
from pmrf_blocks.experiments import Figure, Flow, Net, Table, stage_name, trained
from pmrf_blocks.experiments.launch import read_arguments
from pmrf_blocks.restoration import LatentPMRF, load_restorer
from pmrf_blocks.training import PairFolder
from pmrf_blocks.training.schedule import learning_rate
from recipes import (
    controlled,
    elir,
    figure3_convergence,
    figure9_vae_convergence,
    latent_pmrf,
    pmrf,
    posterior_mean,
    sd_vae,
    sim_vae,
    source_study,
    table1_vaes,
    table2_architecture,
    table3_channels,
    table4_methods,
)

FOLDER = Path(sim_vae.__file__).parent
TABLES = (table1_vaes, table2_architecture, table3_channels, table4_methods, source_study, controlled)


def parameters(network: Net) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in network.kind(**network.arguments).parameters())


def test_paper_scale_is_the_papers():
    vae, flow, pixels = sim_vae.paper(), latent_pmrf.paper(), pmrf.paper()
    assert (vae.train.steps, vae.train.batch_size, vae.train.lr, vae.train.final_lr) == (150_000, 64, 1e-4, 1e-6)
    assert (vae.train.warmup_steps, vae.train.warmup_lr, vae.train.schedule) == (500, 1e-5, "cosine")
    assert (vae.perceptual, vae.perceptual_weight, vae.kl_weight_of_crop) == ("vgg19", 0.05, 1e-6)
    assert (flow.train.steps, flow.train.batch_size, flow.train.lr, flow.train.betas) == (
        400_000,
        64,
        5e-4,
        (0.9, 0.95),
    )
    assert (flow.source, flow.source_noise, flow.train.schedule) == ("posterior-mean", 0.0, "constant")
    assert (pixels.train.steps, pixels.train.batch_size, pixels.source_noise) == (1_052_734, 256, 0.1)
    assert flow.groups == pixels.groups == "single"
    for equal in (figure3_convergence.paper().slow[1].train, table4_methods.paper().rows[10].stage.train):
        assert (equal.steps, equal.batch_size) == (flow.train.steps, flow.train.batch_size)


def test_releases_differ_from_the_paper_where_it_is_known():
    paper, release = sim_vae.paper(), sim_vae.release()
    assert (paper.train.betas, paper.train.weight_decay, paper.train.horizon) == ((0.9, 0.999), 0.0, None)
    assert release == replace(paper, train=replace(paper.train, betas=(0.9, 0.99), weight_decay=0.01, horizon=200_000))
    last = release.train.steps - 1
    assert learning_rate(release.train, last) == pytest.approx(1.55e-5, rel=0.01)
    assert learning_rate(paper.train, last) == pytest.approx(1e-6, rel=0.01)
    flow = latent_pmrf.release()
    assert (flow.source_noise, flow.sample, flow.autoencoder) == (0.1, True, release)
    assert replace(flow, source_noise=0.0, sample=False, autoencoder=paper) == latent_pmrf.paper()
    pixels = pmrf.release()
    assert parameters(pixels.velocity) / 1e6 == pytest.approx(160.46, abs=0.01)
    assert pixels.degradation.arguments["quality"] == (30, 99)
    assert pixels.train.clip is pmrf.paper().train.clip is None


def test_tables_and_figures_have_a_release_where_their_stages_have_one():
    table = table4_methods.release()
    stages = {row.label: row.stage for row in table.rows if row.stage is not None}
    assert (stages["Latent-PMRF"], stages["PMRF"]) == (latent_pmrf.release(), pmrf.release())
    assert stages["PMRF*"] == figure3_convergence.release().slow[1]
    assert stages["PMRF*"].train == table4_methods.paper().rows[10].stage.train
    assert table2_architecture.release().rows[0].stage == latent_pmrf.release()
    assert table2_architecture.release().rows[4].stage.autoencoder == sd_vae.release()
    assert sd_vae.release().train == sim_vae.release().train
    channels = {flow.velocity.arguments["in_channels"] for _, flow in figure9_vae_convergence.release().flows}
    assert channels == {16}
    for recipe in (table1_vaes, table2_architecture, table3_channels, table4_methods):
        assert [row.label for row in recipe.release().rows] == [row.label for row in recipe.paper().rows]
        assert recipe.release().faces == recipe.paper().faces


def test_a_scale_that_a_recipe_has_not_is_refused_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["recipe", "--data", str(tmp_path), "--scale", "release", "--show"])
    with pytest.raises(SystemExit, match="--scale release: nothing was published"):
        runpy.run_module("recipes.elir", run_name="__main__")
    runpy.run_module("recipes.latent_pmrf", run_name="__main__")
    assert json.loads(capsys.readouterr().out)["sample"] is True


def test_networks_have_the_published_sizes():
    assert parameters(sim_vae.paper().network) == 91_030_595
    assert parameters(sim_vae.paper().network.changed(latent_channels=16)) == 90_809_379
    assert parameters(sd_vae.paper().network) / 1e6 == pytest.approx(84.0, abs=0.1)
    assert parameters(pmrf.paper().velocity) / 1e6 == pytest.approx(159.87, abs=0.01)
    assert parameters(latent_pmrf.paper().velocity) / 1e6 == pytest.approx(151.2, rel=0.005)
    assert parameters(posterior_mean.paper().network) / 1e6 == pytest.approx(15.7, abs=0.1)


def test_smaller_scales_change_sizes_and_steps_alone():
    for recipe in (posterior_mean, latent_pmrf, pmrf):
        paper = recipe.paper().train
        for scale in (recipe.small, recipe.debug):
            train = scale().train
            for name in ("lr", "schedule", "warmup_steps", "betas", "weight_decay", "eps", "clip", "ema"):
                assert getattr(train, name) == getattr(paper, name), (recipe.__name__, scale, name)
    # the autoencoder's rate goes with the inverse of its widths, its warm-up with its steps
    paper, small = sim_vae.paper(), sim_vae.small()
    narrower = paper.network.arguments["channels"][0] / small.network.arguments["channels"][0]
    assert small.train.lr == pytest.approx(paper.train.lr * narrower)
    assert small.kl_weight == paper.kl_weight
    assert small.perceptual_weight == paper.perceptual_weight


PATHS = sorted(FOLDER.glob("*.py"))
RECIPES = [path for path in PATHS if path.stem not in ("__init__", "accelerator")]  # accelerator runs the others


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_recipe_is_short(path):
    count = len(path.read_text().splitlines())
    assert (count == 0) if path.stem == "__init__" else (20 <= count <= 100)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_one_whole_experiment(path):
    """Three scales; no constant of another recipe, no table keyed by scale."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("recipes."), "recipes are imported as modules"
        if isinstance(node, ast.Dict):
            keys = {key.value for key in node.keys if isinstance(key, ast.Constant)}
            assert not keys & {"paper", "small", "debug"}
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert not (node.attr.isupper() and node.value.id in {other.stem for other in FOLDER.glob("*.py")})
    made = [getattr(import_module(f"recipes.{path.stem}"), scale)() for scale in ("paper", "small", "debug")]
    assert len({type(one) for one in made}) == 1


@pytest.mark.parametrize("recipe", TABLES)
def test_tables_are_whole_at_every_scale(recipe):
    paper, small = recipe.paper(), recipe.small()
    assert [row.label for row in paper.rows] == [row.label for row in small.rows]
    assert [row.paper for row in paper.rows] == [row.paper for row in small.rows]
    labels = {row.label for row in paper.rows}
    for claim in paper.claims:
        assert {label for _, _, order in claim.orders for label in order} <= labels
        assert all(score in SCORES and part in paper.parts for part, score, _ in claim.orders)


def test_rows_of_one_table_differ():
    for recipe in TABLES:
        names = [stage_name(row.stage) for row in recipe.paper().rows if row.stage is not None]
        assert len(set(names)) == len(names), recipe.__name__


def test_an_ablation_changes_one_field():
    whole, *others = (row.stage for row in table2_architecture.paper().rows[:4])
    for other in others:
        back = replace(other.autoencoder, network=whole.autoencoder.network)
        assert replace(other, autoencoder=back) == whole
        given, ours = (stage.autoencoder.network.arguments for stage in (other, whole))
        assert len(set(given.items()) - set(ours.items())) == 1


def test_baselines_differ_where_they_should():
    rows = {row.label: row.stage for row in controlled.paper().rows if row.label.startswith("denoising")}
    assert {
        label.removeprefix("denoising: "): (row.source, row.condition, row.source_noise)
        for label, row in rows.items()
        if type(row) is Flow
    } == {
        "PMRF": ("posterior-mean", None, 0.025),
        "flow from y": ("degraded", None, 0.025),
        "flow conditioned on y": ("noise", "degraded", 1.0),
        "flow conditioned on mean": ("noise", "posterior-mean", 1.0),
    }
    flow = elir.paper()
    assert (flow.loss, flow.source, flow.source_noise) == ("consistency", "mean-of-latents", 0.1)


def test_figure9_compares_autoencoders_of_as_many_channels():
    for figure in (figure9_vae_convergence.paper(), figure9_vae_convergence.small()):
        channels = {flow.velocity.arguments["in_channels"] for _, flow in figure.flows}
        assert channels == {16}


@pytest.fixture
def command(image_folders, monkeypatch, capsys, one_thread):
    def run(*arguments, recipe="sim_vae"):
        """Exit status and what was printed last, on stdout or as the reason of the exit."""
        monkeypatch.setattr(sys, "argv", [recipe, "--data", str(image_folders), *arguments])
        try:
            runpy.run_module(f"recipes.{recipe}", run_name="__main__")
        except SystemExit as error:
            return 1, str(error.code)
        return 0, capsys.readouterr().out

    return run


def test_command_line(command, tmp_path):
    run = command
    status, folder = run("--runs", str(tmp_path), "--scale", "debug", "--device", "cpu", "--seed", "3")
    assert status == 0, folder
    assert (Path(folder.strip()) / "model" / "model.safetensors").is_file()
    told = json.loads((Path(folder.strip()) / "config.json").read_text())["recipe"]
    assert told == json.loads(run("--scale", "debug", "--seed", "3", "--show")[1])
    assert (told["network"]["quant_conv"], told["train"]["eps"]) == (False, 1e-8)  # defaults are told
    status, reason = run("--runs", str(tmp_path), "--device", "cpu")
    assert status == 1
    assert reason.startswith("sim_vae: the perceptual loss needs torchvision's VGG-19")
    assert json.loads(run("--show")[1])["train"]["steps"] == 150_000
    assert run("--autoencoder", "x")[1].startswith("--autoencoder: this recipe")


@pytest.mark.parametrize("recipe", ["table2_architecture", "figure3_convergence"])
def test_tables_and_figures_show_their_configuration(command, recipe):
    told = json.loads(command("--show", recipe=recipe)[1])
    kind = Table if recipe.startswith("table") else Figure
    assert told["class"] == kind.__name__
    flow = told["rows"][0]["stage"] if kind is Table else told["slow"][1]
    assert flow["velocity"]["mapping_depth"] == 2
    assert flow["train"]["ema"] == 0.9999


def test_what_is_trained_restores(command, tmp_path):
    """The line that a recipe prints last is run; --aligned spares looking for a face in a plain colour."""
    from PIL import Image

    from pmrf_blocks.cli import main

    place = tmp_path / "runs"
    status, printed = command("--runs", str(place), "--scale", "debug", "--device", "cpu", recipe="latent_pmrf")
    assert status == 0, printed
    folder, line = printed.strip().splitlines()
    assert isinstance(load_restorer(folder), LatentPMRF)
    assert isinstance(load_restorer(Path(folder).parent), LatentPMRF)
    assert (Path(folder) / "provenance.json").is_file()
    Image.new("RGB", (32, 32), (90, 60, 40)).save(tmp_path / "old.png")
    line = line.replace("PHOTO", str(tmp_path / "old.png")).replace("restored", str(tmp_path / "restored"))
    program, *arguments = shlex.split(line)
    assert program == "pmrf-blocks"
    assert main([*arguments, "--aligned"]) == 0
    assert Image.open(tmp_path / "restored" / "old.png").size == (32, 32)


def test_pairs_on_the_disk(command, image_folders, tmp_path):
    from pmrf_blocks.experiments import Place

    place = Place(image_folders, tmp_path / "runs", "cpu")
    for stage in (latent_pmrf.debug().autoencoder, latent_pmrf.debug().estimator):
        trained(stage, place)  # what the flow builds on
    pairs = tmp_path / "pairs"
    line = ["--runs", str(place.runs), "--scale", "debug", "--device", "cpu", "--pairs", str(pairs)]
    status, printed = command(*line, "--pair-rounds", "3", recipe="latent_pmrf")
    assert status == 0, printed
    assert isinstance(load_restorer(printed.split()[0]), LatentPMRF)
    manifest = json.loads((pairs / "manifest.json").read_text())
    assert (manifest["rounds"], manifest["pairs"]) == (3, 15)
    found = PairFolder(pairs)
    assert found[0][0].shape == found[0][1].shape == (32, 4, 4)
    assert command(*line, "--pair-rounds", "2", recipe="latent_pmrf")[1].startswith(
        f"latent_pmrf: {pairs} holds pairs that something else made: rounds is 3 there and 2 here"
    )
    assert command(*line, "--pair-rounds", "0", recipe="latent_pmrf")[1].startswith("--pairs: say by --pair-rounds")
    assert command("--pair-rounds", "1")[1] == "--pairs, --pair-rounds: this recipe trains no flow"


def test_without_the_command_lines_package_one_line_and_the_stages_remain(monkeypatch):
    monkeypatch.setitem(sys.modules, "tyro", None)
    with pytest.raises(SystemExit, match=r"sim_vae: recipes need tyro: pip install pmrf-blocks\[train\]"):
        read_arguments(sim_vae.debug(), "sim_vae", None)
    line = "import sys; sys.modules['tyro'] = None; from pmrf_blocks.experiments import Flow"
    assert subprocess.run([sys.executable, "-c", line], check=False, timeout=120).returncode == 0
