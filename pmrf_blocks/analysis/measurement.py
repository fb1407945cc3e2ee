"""Scores of a set of images, image by image: computed, kept in a file, and drawn anew for the bootstrap.

N images, each degraded R times; D features of an image.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pmrf_blocks.analysis.paired import image_draws
from pmrf_blocks.metrics import frechet_distance, mmd_rbf, psnr, ssim
from pmrf_blocks.seeding import derive_generator

if TYPE_CHECKING:
    from pmrf_blocks.analysis.further import FurtherScores

BATCH = 16
SHOWN = 8  # images that are kept to be seen
MMD_SCALE = 1000.0


@dataclass(frozen=True)
class Score:
    """How a score is printed, with a star where it is a stand-in, which way is better, and how many bootstrap samples
    its time allows."""

    label: str
    digits: int
    higher: bool
    draws: int = 1000


SCORES = {
    "psnr": Score("PSNR, dB", 2, True),
    "ssim": Score("SSIM", 3, True),
    "feature_distance": Score("feature distance*", 2, False),
    "fd": Score("FD-Lite0*", 1, False, draws=100),
    "mmd": Score("MMD-Lite0*", 1, False),
}


@dataclass(frozen=True)
class Measurement:
    """Of one set of images: `scores`, means by name; `per_image` by name, (R, N); `features` (R, N, D); `pictures`
    uint8, the first images; `measured_by`, networks and packages behind further scores."""

    scores: dict[str, float]
    per_image: dict[str, Tensor]
    features: Tensor
    pictures: Tensor
    measured_by: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path, **facts: Any) -> None:
        """PATH.json with the scores, image by image too, and `facts`; PATH.safetensors with the rest."""
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {"features": self.features.half().contiguous(), "pictures": self.pictures.contiguous()}
        save_file(tensors, path.with_suffix(".safetensors"))
        images = {name: values.tolist() for name, values in self.per_image.items()}
        temporary = path.with_suffix(".tmp")
        told = {**facts, "scores": self.scores, "per_image": images, "measured_by": self.measured_by}
        temporary.write_text(json.dumps(told) + "\n", encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Measurement:
        """What save() wrote."""
        told, tensors = json.loads(path.read_text(encoding="utf-8")), load_file(path.with_suffix(".safetensors"))
        images = {name: torch.tensor(values, dtype=torch.float64) for name, values in told["per_image"].items()}
        features, by = tensors["features"].float(), told.get("measured_by", {})
        return cls(told["scores"], images, features, tensors["pictures"], by)


@dataclass
class Results:
    """Measurements by (part, label) and seed; why a row could not be trained; by label what a restoration takes."""

    measured: dict[tuple[str, str], dict[int, Measurement]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    runtimes: dict[str, Any] = field(default_factory=dict)

    def values(self, part: str, label: str, score: str) -> list[float]:
        found = self.measured.get((part, label), {}).values()
        return [own.scores[score] for own in found if score in own.scores]

    def spread(self, part: str, label: str, score: str) -> tuple[float, float, int] | None:
        """(mean, standard deviation, number of seeds); None where nothing was run."""
        values = self.values(part, label, score)
        if not values:
            return None
        return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0, len(values)

    def ran(self, label: str) -> bool:
        return any(label == own for _, own in self.measured)

    def seeds(self) -> list[int]:
        return sorted({seed for own in self.measured.values() for seed in own})


@dataclass(frozen=True)
class OnDemand:
    """`count` images that are read or made when they are asked for, in the place of a tensor (N, 3, H, W):
    make(numbers) gives those with these numbers."""

    count: int
    make: Callable[[Sequence[int]], Tensor]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, chosen: slice) -> Tensor:
        return self.make(range(*chosen.indices(self.count)))

    def split(self, size: int) -> Iterable[Tensor]:
        """Batches of this size, one at a time."""
        return (self[start : start + size] for start in range(0, self.count, size))

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor that all images would make."""
        return (self.count, *self[:1].shape[1:])


class Reference:
    """The originals that sets of images are measured against.

    Arguments:
        clean: (N, 3, H, W) in [0, 1], or OnDemand, which measure() takes up batch by batch.
        extractor: images (B, 3, H, W) to features (B, D).
        further: what is measured beside SCORES.
    """

    def __init__(
        self, clean: Tensor | OnDemand, extractor: Callable[[Tensor], Tensor], further: FurtherScores | None = None
    ) -> None:
        self.clean, self.extractor, self.further = clean, extractor, further

    @cached_property
    def features(self) -> Tensor:
        """Features (N, D) of the originals."""
        return torch.cat([self.extractor(part) for part in self.clean.split(BATCH)])

    @cached_property
    def kernel_width(self) -> float:
        """The originals' median distance, for the kernel of the MMD."""
        return float(torch.pdist(self.features.double()).median())

    def measure(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> Measurement:
        """SCORES of images in [0, 1] against their targets, which come in batches (B, 3, H, W), R N of each in all; as
        sets they are compared with the originals, one degradation after the other. No batch is kept."""
        found: dict[str, list[Tensor]] = {}
        parts: list[Tensor] = []
        further, pictures = None if self.further is None else self.further.begin(), None
        for images, target in pairs:
            own = {"psnr": psnr(images, target), "ssim": ssim(images, target)}
            for name, values in own.items():
                found.setdefault(name, []).append(values)
            parts.append(self.extractor(images))
            if further is not None:
                further.add(images, target)
            if pictures is None or len(pictures) < SHOWN:
                seen = (images[:SHOWN] * 255.0).round().to(torch.uint8)
                pictures = seen if pictures is None else torch.cat((pictures, seen))[:SHOWN]
        features = torch.cat(parts).unflatten(0, (-1, len(self.clean)))
        of_images, sets = ({}, {}) if further is None else further.values()
        per_image = {
            **{name: torch.cat(values) for name, values in found.items()},
            "feature_distance": (features - self.features).norm(dim=2).flatten(),
            **of_images,
        }
        per_image = {name: own.double().unflatten(0, features.shape[:2]) for name, own in per_image.items()}
        scores = {name: float(values.mean()) for name, values in per_image.items()}
        everyone = torch.arange(len(self.clean))
        for name in ("fd", "mmd"):
            scores[name] = self.distance(name, features, everyone)
        by = {} if self.further is None else self.further.identities
        assert pictures is not None
        return Measurement({**scores, **sets}, per_image, features, pictures, by)

    def has(self, own: Measurement) -> bool:
        """Whether a measurement holds all that measure() gives."""
        return self.further is None or self.further.has(own)

    def distance(self, name: str, features: Tensor, chosen: Tensor) -> float:
        """'fd' or 'mmd' of the chosen images' features (R, N, D) from the originals', mean over R."""
        both = [(own[chosen], self.features[chosen]) for own in features]
        if name == "fd":
            return sum(float(frechet_distance(*pair)) for pair in both) / len(both)
        return sum(float(mmd_rbf(*pair, sigma=self.kernel_width, scale=MMD_SCALE)) for pair in both) / len(both)

    def scored(self, own: Measurement, score: str) -> Tensor:
        """(1 + draws,): a score over all images, then over bootstrap samples of them, the same for every method."""
        images = len(self.clean)
        counts = image_draws(images, SCORES[score].draws, generator=derive_generator("verdict", images))
        return torch.cat((torch.tensor([own.scores[score]], dtype=torch.float64), self.drawn(own, score, counts)))

    def drawn(self, own: Measurement, score: str, counts: Tensor) -> Tensor:
        """A score over bootstrap samples of the images, (draws,), by how often each image is in each: (draws, N)."""
        if score in own.per_image:
            return counts @ own.per_image[score].mean(0) / counts.shape[1]
        if score == "mmd":
            return torch.stack([self._drawn_mmd(features, counts) for features in own.features]).mean(0)
        samples = [torch.repeat_interleave(torch.arange(len(row)), row.long()) for row in counts]
        return torch.tensor([self.distance(score, own.features, chosen) for chosen in samples], dtype=torch.float64)

    def _drawn_mmd(self, features: Tensor, counts: Tensor) -> Tensor:
        """From one kernel matrix, for images that weigh as often as they were drawn."""
        x, y = features.double(), self.features.double()
        kernels = [
            (-torch.cdist(a, b).square() / (2.0 * self.kernel_width**2)).exp() for a, b in ((x, x), (y, y), (x, y))
        ]
        shares = counts / counts.sum(1, keepdim=True)
        within, of_originals, across = (((shares @ kernel) * shares).sum(1) for kernel in kernels)
        return MMD_SCALE * (within + of_originals - 2.0 * across)
