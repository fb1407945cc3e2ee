"""The bundled recipe's debug twin, from images to a pipeline that restores, and its configuration."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from docs.make.bundled_page import verdicts
from docs.make.bundled_results import scale_weights
from pmrf_blocks.experiments.parts import stage_parts
from pmrf_blocks.restoration import PMRF, LatentPMRF, load_restorer
from recipes import bundled


@pytest.fixture
def run(monkeypatch, capsys, one_thread):
    """Runs the recipe's command in this process: exit status, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bundled", *map(str, arguments)])
        status, reason = 0, ""
        try:
            runpy.run_module("recipes.bundled", run_name="__main__")
        except SystemExit as error:
            status, reason = 1, str(error.code)
        printed = capsys.readouterr()
        return SimpleNamespace(returncode=status, stdout=printed.out, stderr=printed.err + reason)

    return run


def test_debug_twin_trains_and_assembles(run, image_folders, tmp_path):
    line = ("--data", image_folders, "--scale", "debug", "--threads", 1, "--device", "cpu")
    done = run(*line, "--runs", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    folder, restoring = done.stdout.strip().splitlines()
    assert restoring == f"pmrf-blocks restore --model {folder} PHOTO --output restored"
    folder = Path(folder)
    for stage in ("autoencoder", "estimator", "decoder", "flow"):
        for path in tmp_path.glob(f"{stage}-*/stats.jsonl"):
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            assert lines[-1]["step"] == 4
    assert len(list(tmp_path.glob("*/stats.jsonl"))) == 7  # with the teacher and the estimator that it is trained on
    latent, pixel = (load_restorer(folder / name) for name in ("", "pixel"))
    assert isinstance(latent, LatentPMRF)
    assert isinstance(pixel, PMRF)
    assert (latent.steps, pixel.steps) == (1, 25)
    assert not (folder / "pixel" / "estimator").exists()
    y = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(latent.estimator(y), pixel.estimator(y))
    assert latent.restore(y, steps=2).image.shape == y.shape
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["data"] == "5 images in faces256/train, 2 images in photos"
    assert provenance["stages"]["flow"]["images"] == 8
    scale = latent.autoencoder.config["scaling_factor"]
    assert scale != 1.0

    anew = tmp_path / "anew"
    done = run(*line, "--runs", anew, "--start", folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("taken from") == 4
    assert not list(anew.glob("flow-*/checkpoints"))
    again = json.loads((Path(done.stdout.split()[0]) / "provenance.json").read_text())
    assert again["stages"]["flow"] == provenance["stages"]["flow"]
    assert list(anew.glob("decoder-*/checkpoints"))


def test_missing_data_is_one_line(run, tmp_path):
    line = ("--data", tmp_path / "absent", "--runs", tmp_path, "--stage", "autoencoder", "--scale", "debug")
    failed = run(*line)
    assert failed.returncode == 1
    assert failed.stderr.strip().splitlines()[-1].startswith("bundled: no such folder")


def test_a_stage_needs_those_before_it(run, image_folders, tmp_path):
    failed = run("--data", image_folders, "--runs", tmp_path, "--stage", "flow", "--scale", "debug")
    assert failed.returncode == 1
    assert "autoencoder" in failed.stderr.strip().splitlines()[-1]


def test_configuration_prints(run, tmp_path):
    shown = run("--data", tmp_path, "--show")
    assert json.loads(shown.stdout)["flow"]["train"]["steps"] == bundled.paper().flow.train.steps


def test_debug_twin_keeps_what_is_not_size():
    whole, twin = bundled.paper(), bundled.debug()
    kept = [
        (
            one.flow.source_noise,
            one.pixel.source_noise,
            one.flow.autoencoder.kl_weight,
            one.flow.groups,
            list(stage_parts(one)),
        )
        for one in (whole, twin)
    ]
    assert kept[0] == kept[1]
    assert kept[0][-1] == ["autoencoder", "decoder", "mean", "estimator", "pixel", "teacher", "flow"]


def test_results_state_what_does_not_hold():
    def table(**changes):
        values = {"psnr": 20.0, "mse_ratio": 1.5, "fd": 5.0, "mmd": 5.0}
        rows = {row: dict(values) for row in ("mean", "mean_vae", "latent", "pixel", "vae")}
        for place, value in changes.items():
            row, name = place.split("__")
            rows[row][name] = value
        return {row: {k: {"mean": v} for k, v in scores.items()} for row, scores in rows.items()}

    holds = table(mean__psnr=21.0, mean__fd=9.0, mean__mmd=9.0, pixel__fd=7.0, pixel__mmd=7.0, vae__fd=1.0)
    assert all("**Holds**" in line for line in verdicts(holds))
    fails = table(latent__psnr=22.0, latent__fd=9.0, latent__mse_ratio=2.5, vae__mmd=6.0)
    assert all("**Does not hold**" in line for line in verdicts(fails))
    assert sum(scale_weights()) == pytest.approx(1.0)
