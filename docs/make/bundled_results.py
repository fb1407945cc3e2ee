"""Evidence for the bundled model: tables, a picture grid and the numbers as JSON, from held-out faces.

    python -m docs.make.bundled_results --data DIR                    # writes docs/results/bundled.{md,json,jpg}
    python -m docs.make.bundled_results --data DIR --split val --name bundled-validation --steps 1 2 3 5 10 25 100
    python -m docs.make.bundled_results --data DIR --before FOLDER    # and the model in FOLDER, in the same run

DIR holds faces256/test, aligned photographs of people, and faces256/val, synthetic faces as those trained on; no stage
was trained on either. Every image is degraded by the blind-face degradation at the model's size, once for each seed.
The number of steps that ships is chosen on faces256/val, nothing on the test images.
"""

from __future__ import annotations

import functools
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import tyro
from einops import rearrange
from torch import Tensor

from docs.make.bundled_page import CREDITS, LABELS, ROWS, SHOWN, markdown, verdicts
from docs.make.photographs_page import embedder
from pmrf_blocks.data import ImageDataset, find_images
from pmrf_blocks.degradations import BlindFaceDegradation
from pmrf_blocks.flow.solvers import SOLVERS
from pmrf_blocks.metrics import (
    MS_SSIM_WEIGHTS,
    EfficientNetLite0,
    PrincipalComponents,
    efficientnet_lite0_features,
    frechet_distance,
    identity_degrees,
    mmd_rbf,
    ms_ssim,
    principal_components,
    psnr,
)
from pmrf_blocks.restoration import PMRF, LatentPMRF, Pipeline, comparison, load_restorer
from pmrf_blocks.seeding import derive_generator
from pmrf_blocks.training.environment import clean_commit, describe_environment
from pmrf_blocks.training.frame import one_line_errors

BATCH = 16
COMPONENTS = 64  # of the features, over which the Frechet distance is taken


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
    before: Path | None = None
    """Folder of a model to be measured beside it, such as what shipped before."""
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    """One degradation of every image for each."""
    limit: int | None = None
    """Only the first so many images (for a try)."""
    steps: tuple[int, ...] = ()
    """Steps of the second table, for each of --solvers; none leaves it out."""
    solvers: tuple[str, ...] = ("euler", "midpoint", "heun", "rk4")
    """Solvers of the second table."""
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
def outputs(degraded: Tensor, target: Tensor, latent: LatentPMRF, pixel: PMRF | None, seed: int) -> dict[str, Tensor]:
    """Every row's images, (B, 3, H, W) in [0, 1], by the row's name in bundled_page.ROWS."""
    seeds = [seed * 1000 + number for number in range(len(target))]
    ours = in_batches(latent, degraded, seeds)

    def reconstruct(x: Tensor) -> Tensor:
        parts = [latent.autoencoder(2.0 * part - 1.0) for part in x.split(BATCH)]
        return (0.5 * (torch.cat(parts) + 1.0)).clamp(0, 1)

    sets = {"degraded": degraded, "mean": ours[1], "mean_vae": reconstruct(ours[1]), "latent": ours[0]}
    if pixel is not None:
        sets["pixel"] = in_batches(pixel, degraded, seeds)[0]
    return {**sets, "vae": reconstruct(target)}


def in_batches(model: Pipeline, degraded: Tensor, seeds: Sequence[int], **options: Any) -> tuple[Tensor, Tensor]:
    """(restored images, posterior means)."""
    images, means = [], []
    for start in range(0, len(degraded), BATCH):
        part = slice(start, start + BATCH)
        restored = model.restore(degraded[part], seed=list(seeds[part]), **options)
        assert restored.posterior_mean is not None
        images.append(restored.image)
        means.append(restored.posterior_mean)
    return torch.cat(images), torch.cat(means)


@dataclass(frozen=True)
class Yardstick:
    """What a set of originals (B, 3, H, W) in [0, 1] measures restored ones by."""

    target: Tensor
    extractor: EfficientNetLite0
    embed: Callable[[Tensor], Tensor] | None

    @functools.cached_property
    def reference(self) -> Tensor:
        return self.features(self.target)

    @functools.cached_property
    def embedded(self) -> Tensor | None:
        return None if self.embed is None else self.embed(doubled(self.target))

    @functools.cached_property
    def project(self) -> PrincipalComponents:
        return principal_components(self.reference, min(COMPONENTS, len(self.target) - 1))

    def features(self, images: Tensor) -> Tensor:
        return torch.cat([self.extractor(part) for part in images.split(BATCH)])

    def score(self, images: Tensor, least: Tensor | None) -> dict[str, float]:
        """SCORES; `least` is the posterior mean, None where there is none to compare with."""
        features, reference = self.features(images), self.reference
        error = (images - self.target).square().mean()
        scores = {
            "psnr": float(psnr(images, self.target).mean()),
            "ms_ssim": float(ms_ssim(images, self.target, weights=scale_weights()).mean()),
            "mse_ratio": math.nan if least is None else float(error / (least - self.target).square().mean()),
            "fd": float(frechet_distance(self.project(features), self.project(reference))),
            "mmd": float(
                mmd_rbf(features, reference, sigma=float(torch.pdist(reference.double()).median()), biased=False)
            ),
        }
        if self.embed is not None and self.embedded is not None:
            scores["identity"] = float(identity_degrees(self.embed(doubled(images)), self.embedded).mean())
        return scores


def doubled(images: Tensor) -> Tensor:
    """Twice as large, as dlib's embedding was trained on."""
    return F.interpolate(images, scale_factor=2.0, mode="bicubic")


def scale_weights() -> tuple[float, ...]:
    """MS-SSIM's first four scales of five, renormalised: the fifth needs images of more than 160 pixels."""
    four = MS_SSIM_WEIGHTS[:4]
    return tuple(weight / sum(four) for weight in four)


def principal_map(train: Tensor, images: Tensor, *, patch: int = 8, channels: int = 32) -> Tensor:
    """`images` after the best linear autoencoder of the Sim-VAE's rate: `channels` principal components of `patch`
    pixels squared of the training images, both (B, 3, H, W)."""
    patches = rearrange(train, "b c (h p) (w q) -> (b h w) (c p q)", p=patch, q=patch).double()
    mean = patches.mean(0)
    _, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean))
    basis, (height, width) = vectors[:, -channels:], (side // patch for side in images.shape[-2:])
    x = rearrange(images, "b c (h p) (w q) -> (b h w) (c p q)", p=patch, q=patch).double() - mean
    x = ((x @ basis) @ basis.T + mean).float().clamp(0, 1)
    return rearrange(x, "(b h w) (c p q) -> b c (h p) (w q)", h=height, w=width, p=patch, q=patch, c=3)


def sweep(latent: LatentPMRF, degraded: Tensor, yardstick: Yardstick, arguments: Arguments) -> list[dict[str, Any]]:
    """Scores by solver and number of steps, of the first degradation."""
    entries = []
    for solver in arguments.solvers:
        for steps in arguments.steps:
            start = time.perf_counter()
            image, mean = in_batches(latent, degraded, range(len(degraded)), steps=steps, solver=solver)
            spent = (time.perf_counter() - start) * 1000 / len(degraded)
            nfe = steps * SOLVERS[solver].stages
            entry = {"solver": solver, "steps": steps, "nfe": nfe, "milliseconds": spent}
            entries.append({**entry, **yardstick.score(image, mean)})
            print(entries[-1], flush=True)
    return entries


def spread(runs: list[dict[str, dict[str, float]]], row: str, name: str) -> dict[str, float]:
    """Over the runs that have the score."""
    values = [run[row][name] for run in runs if name in run[row]]
    return {"mean": statistics.mean(values), "sd": statistics.stdev(values) if len(values) > 1 else 0.0}


def images_of(folder: Path, size: int, limit: int | None = None) -> Tensor:
    dataset = ImageDataset(find_images(folder)[:limit], size=size)
    return torch.stack([dataset[number] for number in range(len(dataset))]).float() / 255.0


def main(arguments: Arguments) -> None:
    commit = clean_commit(arguments.allow_dirty)
    if arguments.split not in CREDITS:
        raise SystemExit(f"--split must be one of {', '.join(CREDITS)}; got {arguments.split}")
    models: dict[str, tuple[Any, Any]] = {
        "": tuple(load_restorer(source, optimize=True) for source in (arguments.latent, arguments.pixel))
    }
    if arguments.before is not None:
        models["before_"] = (load_restorer(arguments.before, optimize=True), None)
    latent = models[""][0]
    images = images_of(arguments.data / "faces256" / arguments.split, latent.size, arguments.limit)
    linear = principal_map(images_of(arguments.data / "faces256" / "train", latent.size), images)
    tools = efficientnet_lite0_features(), embedder()
    runs, swept, shown = [], [], {}
    for seed in arguments.seeds:
        degraded, target = degrade(images, seed)
        # dlib takes a fifth of a second for a face, longer than restoring it: the first degradation must do.
        yardstick = Yardstick(target, tools[0], tools[1] if seed == arguments.seeds[0] else None)
        sets: dict[str, Tensor] = {}
        scores: dict[str, dict[str, float]] = {}
        for label, pair in models.items():
            own = outputs(degraded, target, pair[0], pair[1], seed)
            scores |= {label + row: yardstick.score(own[row], own["mean"]) for row in ROWS if label + row in LABELS}
            sets |= {label + row: pictures for row, pictures in own.items()}
        scores["linear"] = yardstick.score(linear, sets["mean"])
        runs.append(scores)
        print(f"seed {seed}", json.dumps(scores, indent=1), flush=True)
        if seed == arguments.seeds[0]:
            shown = {"target": target[:SHOWN], **{row: sets[row][:SHOWN] for row in ROWS}}
            swept = sweep(latent, degraded, yardstick, arguments)
    table = {row: {name: spread(runs, row, name) for name in runs[0][row]} for row in runs[0]}
    result = {
        "name": arguments.name,
        "split": arguments.split,
        "labels": {row: label for row, label in LABELS.items() if row in table},
        "images": len(images),
        "size": latent.size,
        "source_noise": latent.source_noise,
        "steps": latent.steps,
        "solver": latent.solver,
        "seeds": list(arguments.seeds),
        "environment": {**describe_environment(), "revision": commit, "command": None},
        "table": table,
        "runs": runs,
        "sweep": swept,
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
