"""The bundled recipe's debug twin, from images to a pipeline that restores, and its configuration."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from docs.make.bundled_page import verdicts
from docs.make.bundled_results import scale_weights
from pmrf_blocks.restoration import PMRF, LatentPMRF, load_restorer
from recipes.bundled import bundled, debug

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments):
    command = [sys.executable, "-m", "recipes.bundled", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def test_debug_twin_trains_and_assembles(image_folders, tmp_path):
    done = run("--data", image_folders, "--runs", tmp_path, "--debug", "--threads", 1, "--device", "cpu")
    assert done.returncode == 0, done.stderr[-2000:]
    folder = tmp_path / "bundled-debug"
    assert done.stdout.strip() == str(folder)
    for stage in ("autoencoder", "estimator", "decoder", "flow", "pixel"):
        lines = [json.loads(line) for line in (folder / stage / "stats.jsonl").read_text().splitlines()]
        assert lines[-1]["step"] == 4
    latent, pixel = (load_restorer(folder / name) for name in ("assembled", "assembled/pixel"))
    assert isinstance(latent, LatentPMRF)
    assert isinstance(pixel, PMRF)
    assert not (folder / "assembled" / "pixel" / "estimator").exists()
    y = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(latent.estimator(y), pixel.estimator(y))
    assert latent.restore(y, steps=2).image.shape == y.shape
    provenance = json.loads((folder / "assembled" / "provenance.json").read_text())
    assert provenance["data"] == "5 images in faces256/train, 2 images in photos"
    assert provenance["stages"]["flow"]["images"] == 8
    scale = latent.autoencoder.config["scaling_factor"]
    assert scale != 1.0

    anew = tmp_path / "anew"
    done = run("--data", image_folders, "--runs", anew, "--debug", "--threads", 1, "--device", "cpu",
               "--start", folder / "assembled")  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("taken from") == 4
    assert not (anew / "bundled-debug" / "flow" / "checkpoints").exists()
    again = json.loads((anew / "bundled-debug" / "assembled" / "provenance.json").read_text())
    assert again["stages"]["flow"] == provenance["stages"]["flow"]
    assert (anew / "bundled-debug" / "decoder" / "checkpoints").exists()


def test_missing_data_is_one_line(tmp_path):
    failed = run("--data", tmp_path / "absent", "--runs", tmp_path, "--stage", "autoencoder", "--debug")
    assert failed.returncode == 1
    assert failed.stderr.strip().splitlines()[-1].startswith("bundled: no such folder")


def test_a_stage_needs_those_before_it(image_folders, tmp_path):
    failed = run("--data", image_folders, "--runs", tmp_path, "--stage", "flow", "--debug")
    assert failed.returncode == 1
    assert "autoencoder" in failed.stderr.strip().splitlines()[-1]


def test_configuration_prints(tmp_path):
    shown = run("--data", tmp_path, "--show")
    assert json.loads(shown.stdout)["train"]["flow"]["steps"] == bundled().train["flow"].steps


def test_debug_twin_keeps_what_is_not_size():
    whole, twin = bundled(), debug()
    assert (whole.source_noise, whole.kl_weight, set(whole.train)) == (
        twin.source_noise,
        twin.kl_weight,
        set(twin.train),
    )


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
