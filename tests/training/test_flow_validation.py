"""One definition of a flow: validation, tables and restore() give the same bits, before saving and after loading."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from training_toys import Halve, config, darken, in_pixels

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.cli import main
from pmrf_blocks.data import ImageDataset, find_images
from pmrf_blocks.degradations import BlindFaceDegradation
from pmrf_blocks.estimators import UNet
from pmrf_blocks.metrics import frechet_distance, psnr
from pmrf_blocks.restoration import PMRF, LatentPMRF, comparison, load_restorer
from pmrf_blocks.restoration.held_out import BATCH, degrade_held_out, restore_held_out
from pmrf_blocks.training import FlowTask, fit, precompute_pairs
from pmrf_blocks.training.tasks import Examined
from pmrf_blocks.training.validation import Totals, validate
from pmrf_blocks.transformers import HourglassTransformer, Level

COUNT = 18  # more than one batch


def pipeline(latent):
    torch.manual_seed(0)
    levels = (Level(16, 1, kernel_size=3, head_dim=16),)
    channels, patch = (4, 1) if latent else (3, 4)
    parts = {
        "estimator": UNet(widths=(8, 8), blocks=(1, 1)),
        "velocity": HourglassTransformer(in_channels=channels, patch_size=patch, levels=levels, mapping_width=16),
    }
    nn.init.normal_(parts["velocity"].patch_out.proj.weight, std=0.1)
    settings = {"size": 16, "source_noise": 0.1, "steps": 2}
    if not latent:
        return PMRF(**parts, **settings)
    return LatentPMRF(autoencoder=SimVAE(4, channels=(8, 8), blocks_per_level=1, middle_blocks=1), **parts, **settings)


class Statistics(nn.Module):
    """Stands for Inception: means and deviations of the channels."""

    def forward(self, images):
        return torch.cat((images.mean((2, 3)), images.std((2, 3))), dim=1)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    generator = np.random.default_rng(0)
    for number in range(COUNT):
        coarse = Image.fromarray(generator.integers(0, 256, (4, 4, 3), np.uint8))
        coarse.resize((16, 16), Image.Resampling.BICUBIC).save(folder / f"{number:02d}.png")
    return ImageDataset(find_images(folder))


@pytest.mark.parametrize("latent", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_trained_is_what_restores(latent, precision, faces, tmp_path):
    trained = pipeline(latent)
    task = FlowTask(trained, degradation=BlindFaceDegradation(), features={"fid": Statistics()})
    settings = config(steps=3, validate_every=3, pictures=COUNT, ema=0.5, precision=precision)
    fit(settings, task, faces, tmp_path / "run", validation=faces, device="cpu")

    clean = torch.stack([faces[number] for number in range(COUNT)]).float() / 255.0
    degraded, target = degrade_held_out(task.degradation, clean, range(COUNT))
    table = restore_held_out(trained, degraded)
    seeds = list(range(COUNT))
    parts = [slice(start, start + BATCH) for start in range(0, COUNT, BATCH)]
    before = torch.cat([trained.restore(degraded[part], seed=seeds[part]).image for part in parts])
    assert torch.equal(before, table)

    trained.save_pretrained(tmp_path / "saved")
    loaded = load_restorer(tmp_path / "saved")
    after = torch.cat([loaded.restore(degraded[part], seed=seeds[part]).image for part in parts])
    assert torch.equal(after, table)
    exported = HourglassTransformer.from_pretrained(tmp_path / "run/export")
    assert all(torch.equal(a, b) for a, b in zip(exported.parameters(), loaded.velocity.parameters()))

    # Scores and picture of the last validation: exactly those of these images.
    line = [json.loads(line) for line in (tmp_path / "run/stats.jsonl").read_text().splitlines()][-1]
    assert line["val_psnr"] == pytest.approx(float(psnr(table, target).mean()), rel=1e-6)
    own = float(frechet_distance(Statistics()(table), Statistics()(target)))
    assert line["val_fid"] == pytest.approx(own, rel=1e-6)
    shown = Image.open(tmp_path / "run/validation/step-00000003.png")
    means = torch.cat([loaded.restore(degraded[part], posterior_mean_only=True).image for part in parts])
    columns = {"degraded": degraded, "posterior mean": means, "restored": table, "image": target}
    rows = [[(name, images[row]) for name, images in columns.items()] for row in range(COUNT)]
    assert np.array_equal(np.asarray(shown), np.asarray(comparison(rows)))


def test_validation_does_not_depend_on_the_run_s_seed_or_processes(faces):
    task = FlowTask(pipeline(False), degradation=darken, features={"fid": Statistics()})
    task.eval()
    with torch.no_grad():
        scores, _ = validate(task, faces, seed=0)
        others, _ = validate(task, faces, seed=1)
    assert scores["psnr"] == others["psnr"]
    assert scores["fid"] == others["fid"]
    assert scores["loss"] != others["loss"]  # its times and noise are the run's


def test_shares_of_processes_add_up_to_the_whole(generator):
    parts = []
    for numbers in (range(16), range(16, 18)):
        images = torch.rand(2, len(numbers), 3, generator=generator)
        parts.append((Examined({"psnr": images.mean()}, {"fid": (images[0], images[1])}), numbers))
    whole, first, second = Totals(), Totals(), Totals()
    for found, numbers in parts:
        whole.add(found, numbers)
    second.add(*parts[1])
    first.add(*parts[0])
    second.merge(first)
    assert second.scores(18) == pytest.approx(whole.scores(18), rel=1e-12)
    assert set(whole.scores(18)) == {"psnr", "fid"}
    assert set(whole.scores(1)) == {"psnr"}  # one image is no distribution


def test_documented_convergence_of_two_runs(faces, tmp_path, capsys):
    """docs/analysis.md: pmrf-blocks convergence FAST SLOW --score val_fid"""
    for name, lr in (("fast", 1e-2), ("slow", 1e-4)):
        task = FlowTask(in_pixels(Halve()), degradation=darken, features={"fid": Statistics()})
        settings = config(steps=4, validate_every=2, pictures=0, lr=lr, schedule="constant", ema=0.0)
        fit(settings, task, faces, tmp_path / name, validation=faces, device="cpu")
    folders = [str(tmp_path / name) for name in ("fast", "slow")]
    assert main(["convergence", *folders, "--score", "val_fid", "val_psnr", "--json"]) in (0, 1)
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert set(scores) == {"val_fid", "val_psnr"}


def test_pairs_are_validated_by_their_loss(faces, tmp_path):
    task = FlowTask(in_pixels(Halve()))
    pairs = precompute_pairs(task.pipeline, darken, faces, rounds=1, seed=0, device="cpu")
    fit(config(steps=2), task, pairs, tmp_path, validation=pairs, device="cpu")
    line = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()][-1]
    assert {name for name in line if name.startswith("val_")} == {"val_loss"}
    assert not (tmp_path / "validation").exists()
