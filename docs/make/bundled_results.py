"""Evidence for the bundled model: a table, a picture grid and the numbers as JSON, from held-out photographs.

    python -m docs.make.bundled_results --data DIR                    # writes docs/results/bundled.{md,json,jpg}
    python -m docs.make.bundled_results --data DIR --split val --name bundled-validation --noises

DIR holds faces256/test, aligned photographs of people, and faces256/val, synthetic faces as those trained on; no stage
was trained on either. Every image is degraded by the blind-face degradation at the model's size, once for each seed.
Nothing is chosen on the test images.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor

from docs.make.bundled_page import CREDITS, ROWS, SCORES, SHOWN, markdown, verdicts
from pmrf_blocks.data import ImageDataset, find_images
from pmrf_blocks.degradations import BlindFaceDegradation
from pmrf_blocks.metrics import (
    MS_SSIM_WEIGHTS,
    EfficientNetLite0,
    efficientnet_lite0_features,
    frechet_distance,
    mmd_rbf,
    ms_ssim,
    psnr,
)
from pmrf_blocks.restoration import PMRF, LatentPMRF, comparison, load_restorer
from pmrf_blocks.seeding import derive_generator
from pmrf_blocks.training.environment import clean_commit, describe_environment
from pmrf_blocks.training.frame import one_line_errors


@dataclass(frozen=True)
class Arguments:
    data: Path
    """Folder with faces256/SPLIT."""
    split: str = "test"
    """Subfolder of faces256 to measure on."""
    latent: str = "bundled"
    """Latent-PMRF: 'bundled', a folder or a hub id."""
    pixel: str = "bundled-pixel"
    """PMRF in pixels: 'bundled-pixel', a folder or a hub id."""
    output: Path = Path("docs/results")
    """Where NAME.md, NAME.json and NAME.jpg go."""
    name: str = "bundled"
    """Of the files."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One degradation of every image for each."""
    limit: int | None = None
    """Only the first so many images (for a try)."""
    steps: tuple[int, ...] = (1, 2, 5, 10, 25, 50)
    """Euler steps of the second table."""
    noises: tuple[float, ...] = (0.0, 0.025, 0.1)
    """Source noises of the second table; none leaves it out."""
    allow_dirty: bool = False
    """Write the page though files differ from the commit that it names; it then says so."""


def degrade(images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """(degraded, target); an image's degradation depends on its number and the seed alone."""
    degradation = BlindFaceDegradation()
    pairs = [
        degradation(image[None], generator=derive_generator(seed, "degrade", number))
        for number, image in enumerate(images)
    ]
    return torch.cat([degraded for degraded, _ in pairs]), torch.cat([target for _, target in pairs])


@torch.no_grad()
def outputs(degraded: Tensor, target: Tensor, latent: LatentPMRF, pixel: PMRF, seed: int) -> dict[str, Tensor]:
    """Every row's images, (B, 3, H, W) in [0, 1], and the target's."""
    seeds = [seed * 1000 + number for number in range(len(target))]
    ours, theirs = latent.restore(degraded, seed=seeds), pixel.restore(degraded, seed=seeds)
    assert ours.posterior_mean is not None

    def reconstruct(x: Tensor) -> Tensor:
        return (0.5 * (latent.autoencoder(2.0 * x - 1.0) + 1.0)).clamp(0, 1)

    return {
        "target": target,
        "degraded": degraded,
        "mean": ours.posterior_mean,
        "mean_vae": reconstruct(ours.posterior_mean),
        "latent": ours.image,
        "pixel": theirs.image,
        "vae": reconstruct(target),
    }


def score(images: Tensor, sets: dict[str, Tensor], reference: Tensor, extractor: EfficientNetLite0) -> dict[str, float]:
    """SCORES of one set of images; the MMD's kernel width is the originals' median distance."""
    target, features = sets["target"], torch.cat([extractor(part) for part in images.split(16)])
    error, least = ((x - target).square().mean() for x in (images, sets["mean"]))
    return {
        "psnr": float(psnr(images, target).mean()),
        "ms_ssim": float(ms_ssim(images, target, weights=scale_weights()).mean()),
        "mse_ratio": float(error / least),
        "fd": float(frechet_distance(features, reference)),
        "mmd": float(mmd_rbf(features, reference, sigma=float(torch.pdist(reference.double()).median()))),
    }


def scale_weights() -> tuple[float, ...]:
    """MS-SSIM's first four scales of five, renormalised: the fifth needs images of more than 160 pixels."""
    four = MS_SSIM_WEIGHTS[:4]
    return tuple(weight / sum(four) for weight in four)


def spread(runs: list[dict[str, dict[str, float]]], row: str, name: str) -> dict[str, float]:
    values = [run[row][name] for run in runs]
    return {"mean": statistics.mean(values), "sd": statistics.stdev(values) if len(values) > 1 else 0.0}


def main(arguments: Arguments) -> None:
    commit = clean_commit(arguments.allow_dirty)
    if arguments.split not in CREDITS:
        raise SystemExit(f"--split must be one of {', '.join(CREDITS)}; got {arguments.split}")
    latent, pixel = load_restorer(arguments.latent), load_restorer(arguments.pixel)
    paths = find_images(arguments.data / "faces256" / arguments.split)[: arguments.limit]
    dataset = ImageDataset(paths, size=latent.size)
    images = torch.stack([dataset[number] for number in range(len(dataset))]).float() / 255.0
    extractor = efficientnet_lite0_features()
    runs, sweep, shown = [], [], {}
    for seed in arguments.seeds:
        degraded, target = degrade(images, seed)
        sets = outputs(degraded, target, latent, pixel, seed)
        reference = torch.cat([extractor(part) for part in target.split(16)])
        runs.append({row: score(sets[row], sets, reference, extractor) for row in ROWS})
        print(f"seed {seed}", json.dumps(runs[-1], indent=1), flush=True)
        if seed != arguments.seeds[0]:
            continue
        shown = {row: sets[row][:SHOWN] for row in ("target", *ROWS)}
        for noise in arguments.noises:
            for steps in arguments.steps:
                start = time.perf_counter()
                restored = latent.restore(degraded, steps=steps, source_noise=noise, seed=list(range(len(target))))
                spent = (time.perf_counter() - start) * 1000 / len(target)
                entry = score(restored.image, sets, reference, extractor)
                sweep.append({"source_noise": noise, "steps": steps, "milliseconds": spent, **entry})
    table = {row: {name: spread(runs, row, name) for name in SCORES} for row in ROWS}
    result = {
        "name": arguments.name,
        "split": arguments.split,
        "labels": ROWS,
        "images": len(images),
        "size": latent.size,
        "source_noise": latent.source_noise,
        "seeds": list(arguments.seeds),
        "environment": {**describe_environment(), "revision": commit, "command": None},
        "table": table,
        "runs": runs,
        "sweep": sweep,
        "verdicts": verdicts(table),
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / f"{arguments.name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (arguments.output / f"{arguments.name}.md").write_text(markdown(result), encoding="utf-8")
    grid = comparison([[("", image) for image in row] for row in shown.values()])
    grid.save(arguments.output / f"{arguments.name}.jpg", quality=92, subsampling=0)
    print(arguments.output / f"{arguments.name}.md")


if __name__ == "__main__":
    arguments = tyro.cli(Arguments, description=__doc__)
    with one_line_errors("bundled_results"):
        main(arguments)
