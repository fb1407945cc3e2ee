"""Scores of reconstructions and restorations on a set of held-out faces, and their pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pmrf_blocks.degradations import build_degradation
from pmrf_blocks.metrics import efficientnet_lite0_features, frechet_distance, mmd_rbf, psnr, ssim
from pmrf_blocks.seeding import derive_generator
from recipes.common.ends import FlowEnds
from recipes.common.stages import Images

Scores = dict[str, float]
BATCH = 16


@dataclass(frozen=True)
class Score:
    """How a score is printed, and which way is better."""

    label: str
    digits: int
    higher: bool


SCORES = {
    "psnr": Score("PSNR, dB", 2, True),
    "ssim": Score("SSIM", 3, True),
    "feature_distance": Score("feature distance", 2, False),
    "fd": Score("FD", 1, False),
    "mmd": Score("MMD", 1, False),
}


class FaceSet:
    """The faces that tables are measured on; decoded, degraded and described by features once.

    `pixels` is uint8 (N, 3, H, W); every image has a degradation of its own that depends on its number alone.
    """

    def __init__(self, images: Images, read: Callable[..., Any], limit: int | None = None) -> None:
        dataset = read(images, flip=False)
        count = len(dataset) if limit is None else min(limit, len(dataset))
        self.pixels = torch.stack([dataset[number] for number in range(count)])
        self.name = images.folder
        self._degraded: dict[str, tuple[Tensor, Tensor]] = {}

    @cached_property
    def clean(self) -> Tensor:
        return self.pixels.float() / 255.0

    @cached_property
    def extractor(self) -> Any:
        return efficientnet_lite0_features()

    def degraded(self, name: str) -> tuple[Tensor, Tensor]:
        """(degraded, target) under the degradation `name`."""
        if name not in self._degraded:
            degradation = build_degradation(name)
            pairs = [
                degradation(image[None], generator=derive_generator("test", name, number))
                for number, image in enumerate(self.clean)
            ]
            self._degraded[name] = tuple(map(torch.cat, zip(*pairs)))  # type: ignore[assignment]
        return self._degraded[name]

    def features(self, images: Tensor) -> Tensor:
        return torch.cat([self.extractor(part) for part in images.split(BATCH)])

    @cached_property
    def reference(self) -> Tensor:
        """Features of the originals."""
        return self.features(self.clean)

    def scores(self, images: Tensor, target: Tensor) -> Scores:
        """SCORES of images (N, 3, H, W) in [0, 1] against their targets; sets are compared with the originals."""
        features, reference = self.features(images), self.reference
        return {
            "psnr": float(psnr(images, target).mean()),
            "ssim": float(ssim(images, target).mean()),
            "feature_distance": float((features - reference).norm(dim=1).mean()),
            "fd": float(frechet_distance(features, reference)),
            "mmd": float(mmd_rbf(features, reference, sigma=float(torch.pdist(reference.double()).median()))),
        }


@torch.no_grad()
def reconstruct(autoencoder: Any, images: Tensor) -> Tensor:
    parts = [autoencoder(2.0 * part - 1.0) for part in images.split(BATCH)]
    return (0.5 * (torch.cat(parts).float() + 1.0)).clamp(0, 1)


def restore(ends: FlowEnds, velocity: Any, degraded: Tensor, *, seed: int, steps: int = 25) -> Tensor:
    """25 Euler steps, as PMRF tests with."""
    generator = derive_generator(seed, "restore")
    parts = [ends.restore(velocity, part, steps=steps, generator=generator) for part in degraded.split(BATCH)]
    return torch.cat(parts)


@torch.no_grad()
def estimate(ends: FlowEnds, degraded: Tensor) -> Tensor:
    """The posterior mean."""
    return torch.cat([ends.posterior_mean(part) for part in degraded.split(BATCH)])


def remembered(path: Path, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result in the JSON file `path`; computed and written there where it is not."""
    if path.exists():
        return json.loads(path.read_text())
    result = compute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=1) + "\n")
    temporary.replace(path)
    return result
