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

    def __init__(
        self, images: Images, read: Callable[..., Any], *, limit: int | None = None, device: str | None = None
    ) -> None:
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
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
        return efficientnet_lite0_features().to(self.device)

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
        return torch.cat([self.extractor(part.to(self.device)).cpu() for part in images.split(BATCH)])

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


def reconstruct(autoencoder: Any, images: Tensor, device: str) -> Tensor:
    """What an autoencoder on `device` makes of images (N, 3, H, W) in [0, 1]."""
    parts = [autoencoder(2.0 * part.to(device) - 1.0).cpu() for part in images.split(BATCH)]
    return (0.5 * (torch.cat(parts).float() + 1.0)).clamp(0, 1)


def restore(ends: FlowEnds, velocity: Any, degraded: Tensor, device: str, *, steps: int = 25) -> Tensor:
    """Restored images by 25 Euler steps, as PMRF tests with; a velocity of None stops at the source."""
    generator = derive_generator("test", "source noise", device=device)
    parts = [
        ends.restore(velocity, part.to(device), steps=steps, generator=generator).cpu()
        for part in degraded.split(BATCH)
    ]
    return torch.cat(parts)


def estimate(estimator: Any, degraded: Tensor, device: str) -> Tensor:
    """The posterior mean."""
    return torch.cat([estimator(part.to(device)).float().clamp(0, 1).cpu() for part in degraded.split(BATCH)])


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
