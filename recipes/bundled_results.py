"""Evidence for the bundled model: a table, a picture grid and the numbers as JSON, from held-out photographs.

    python -m recipes.bundled_results --data DIR          # writes docs/results/bundled.{md,json,jpg}

DIR holds faces256/test: aligned crops of people that no stage was trained on. Every image is degraded by the
blind-face degradation at the model's size, once for each seed. Nothing is chosen on these images.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor

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
from pmrf_blocks.training.environment import describe_environment

ROWS = {
    "degraded": "degraded",
    "mean": "posterior mean",
    "mean_vae": "posterior mean through the Sim-VAE",
    "latent": "Latent-PMRF",
    "pixel": "PMRF in pixels",
    "vae": "Sim-VAE of the original",
}
SCORES = {
    "psnr": "PSNR, dB ↑",
    "ms_ssim": "MS-SSIM ↑",
    "mse_ratio": "MSE / MSE of the mean",
    "fd": "FD ↓",
    "mmd": "MMD ↓",
}
SHOWN = 8
CREDIT = "Photographs: DeBruine, L. (2022). webmorphR.stim, CC BY 4.0"


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
    """Where bundled.md, bundled.json and bundled.jpg go."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One degradation of every image for each."""
    limit: int | None = None
    """Only the first so many images (for a try)."""
    steps: tuple[int, ...] = (1, 2, 5, 10, 25, 50)
    """Euler steps of the second table."""
    noises: tuple[float, ...] = (0.0, 0.025, 0.1)
    """Source noises of the second table."""


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


def verdicts(table: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """What the theory says of the rows, and whether it showed here."""

    def mean(row: str, name: str) -> float:
        return table[row][name]["mean"]

    def line(claim: str, holds: bool) -> str:
        return f"- {claim} **{'Holds' if holds else 'Does not hold'}** here."

    return [
        line(
            "Least distortion: no row has a smaller squared error than the posterior mean.",
            all(mean("mean", "psnr") >= mean(row, "psnr") for row in ("mean_vae", "latent", "pixel")),
        ),
        line(
            "Better perception: Latent-PMRF is nearer to the originals than the posterior mean, by FD and by MMD.",
            all(mean("latent", name) < mean("mean", name) for name in ("fd", "mmd")),
        ),
        line(
            "The price is bounded: at perfect perceptual quality the least squared error is at most twice that of "
            f"the posterior mean (Blau & Michaeli, 2018); Latent-PMRF's is {mean('latent', 'mse_ratio'):.2f} times it.",
            mean("latent", "mse_ratio") <= 2.0,
        ),
        line(
            "Latent before pixels: at about the same training compute Latent-PMRF is nearer to the originals than "
            "PMRF in pixels, by FD and by MMD.",
            all(mean("latent", name) < mean("pixel", name) for name in ("fd", "mmd")),
        ),
        line(
            "The autoencoder is the floor: nothing restored is nearer to the originals than their own "
            "reconstructions, by FD and by MMD.",
            all(mean("vae", name) <= mean(row, name) for row in ("latent", "pixel", "mean") for name in ("fd", "mmd")),
        ),
    ]


def markdown(result: dict[str, Any]) -> str:
    table, sweep = result["table"], result["sweep"]
    text = [
        "# The bundled model on held-out photographs",
        "",
        f"{result['images']} aligned faces of real people ({CREDIT[13:]}) at {result['size']}x{result['size']}, each "
        f"degraded {len(result['seeds'])} times by the blind-face degradation; models trained on synthetic faces. "
        f"Mean ± standard deviation over the degradation seeds {', '.join(map(str, result['seeds']))}; 25 Euler steps. "
        f"Made by `python -m recipes.bundled_results`, commit {result['environment']['revision']}, "
        f"{result['environment']['processor']}.",
        "",
        "| | " + " | ".join(SCORES.values()) + " |",
        "|---|" + "---|" * len(SCORES),
    ]
    for row, label in ROWS.items():
        cells = []
        for name in SCORES:
            digits = 3 if name == "ms_ssim" else 2 if name in ("psnr", "mse_ratio") else 1
            value = table[row][name]
            cells.append(f"{value['mean']:.{digits}f} ± {value['sd']:.{digits}f}")
        text.append(f"| {label} | " + " | ".join(cells) + " |")
    text += [
        "",
        "FD and MMD are on EfficientNet-Lite0 features, an offline stand-in for Inception and DINOv2: compare them "
        f"within this table only. FD over {result['images']} images is biased upwards, the same for every row; MMD is "
        "biased, times 1000, with the originals' median distance as kernel width. MS-SSIM has four scales: the fifth "
        "needs more than 160 pixels. The networks that training saw (EfficientNet-Lite1, perceptual loss of the "
        "autoencoder) are not the one that measures.",
        "",
        "## Does the theory show at this scale?",
        "",
        *result["verdicts"],
        "",
        "## Steps and source noise",
        "",
        "Latent-PMRF, degradation seed 0. The model was trained with a source noise of "
        f"{result['source_noise']:g} and ships with 25 steps; this table chose nothing.",
        "",
        "| source noise | steps | PSNR, dB ↑ | FD ↓ | MMD ↓ | ms an image |",
        "|---|---|---|---|---|---|",
    ]
    for entry in sweep:
        text.append(
            f"| {entry['source_noise']:g} | {entry['steps']} | {entry['psnr']:.2f} | {entry['fd']:.1f} | "
            f"{entry['mmd']:.1f} | {entry['milliseconds']:.0f} |"
        )
    text += ["", "## Pictures", "", f"![{SHOWN} faces](bundled.jpg)", "", "From top to bottom: original, "]
    text[-1] += ", ".join(ROWS.values()) + f". The first {SHOWN} faces of the set, not chosen. {CREDIT}."
    return "\n".join(text) + "\n"


def main(arguments: Arguments) -> None:
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
        "images": len(images),
        "size": latent.size,
        "source_noise": latent.source_noise,
        "seeds": list(arguments.seeds),
        "environment": {k: v for k, v in describe_environment().items() if k != "command"},
        "table": table,
        "runs": runs,
        "sweep": sweep,
        "verdicts": verdicts(table),
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "bundled.json").write_text(json.dumps(result, indent=1) + "\n")
    (arguments.output / "bundled.md").write_text(markdown(result))
    grid = comparison([[("", image) for image in row] for row in shown.values()])
    grid.save(arguments.output / "bundled.jpg", quality=92, subsampling=0)
    print(arguments.output / "bundled.md")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
