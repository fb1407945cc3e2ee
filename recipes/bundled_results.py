"""Evidence for the bundled model: docs/results/bundled.md and its picture grid, from held-out photographs.

    python -m recipes.bundled_results --data DIR

DIR holds faces256/test: aligned crops of people that no stage was trained on. Every image is degraded by the
blind-face degradation at the bundled size, once for each seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pmrf_blocks.degradations import BlindFaceDegradation
from pmrf_blocks.metrics import frechet_distance, mmd_rbf, ms_ssim, psnr
from pmrf_blocks.seeding import derive_generator

ROWS = {
    "degraded": "degraded input",
    "mean": "posterior mean",
    "mean_vae": "posterior mean through the Sim-VAE (where the latent flow starts)",
    "latent": "**Latent-PMRF**",
    "pixel": "pixel PMRF, about the same training compute",
    "vae": "Sim-VAE reconstruction of the original (best that the latent flow can reach)",
}
SCORES = {"psnr": "PSNR (dB)", "ms_ssim": "MS-SSIM", "fd": "FD", "mmd": "MMD"}


@dataclass(frozen=True)
class Arguments:
    data: Path
    """Folder with faces256/test."""
    latent: str = "bundled"
    """Latent-PMRF: 'bundled', a folder or a hub id."""
    pixel: str = "bundled-pixel"
    """PMRF in pixels for comparison: 'bundled-pixel', a folder or a hub id."""
    output: Path = Path("docs/results")
    """Where bundled.md, bundled.json and bundled.jpg go."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One degradation of every image for each."""
    limit: int | None = None
    """Only the first so many images (for a try)."""


@torch.no_grad()
def outputs(images: Tensor, latent: torch.nn.Module, pixel: torch.nn.Module, seed: int) -> dict[str, Tensor]:
    """Every row's images for one degradation seed, (B, 3, H, W) in [0, 1]."""
    degradation = BlindFaceDegradation()
    pairs = [
        degradation(image[None], generator=derive_generator(seed, "degrade", index))
        for index, image in enumerate(images)
    ]
    degraded, target = (torch.cat(part) for part in zip(*pairs))
    ours = latent.restore(degraded, seed=[seed * 1000 + i for i in range(len(images))])
    theirs = pixel.restore(degraded, seed=[seed * 1000 + i for i in range(len(images))])
    vae = latent.autoencoder
    assert isinstance(vae, torch.nn.Module)
    through = {
        name: (0.5 * (vae(2.0 * x - 1.0) + 1.0)).clamp(0, 1)
        for name, x in (("vae", target), ("mean_vae", ours.posterior_mean))
    }
    return {
        "target": target,
        "degraded": degraded,
        "mean": ours.posterior_mean,
        "latent": ours.image,
        "pixel": theirs.image,
        **through,
    }


def score(sets: dict[str, Tensor], extractor: torch.nn.Module) -> dict[str, dict[str, float]]:
    """SCORES of every row against the targets; the MMD's kernel width is the targets' median distance."""
    target = sets["target"]
    reference = torch.cat([extractor(part) for part in target.split(16)])
    width = float(torch.pdist(reference.double()).median())
    table = {}
    for name in ROWS:
        features = torch.cat([extractor(part) for part in sets[name].split(16)])
        table[name] = {
            "psnr": float(psnr(sets[name], target).mean()),
            "ms_ssim": float(ms_ssim(sets[name], target, **MS_SSIM_AT_128).mean()),
            "fd": float(frechet_distance(features, reference)),
            "mmd": float(mmd_rbf(features, reference, sigma=width)),
        }
    return table
