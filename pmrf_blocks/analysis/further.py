"""The paper's metrics in tables and figures, where their weights are at hand; and what pages say of those that are not,
and of the stand-ins that are always measured.

N images, each degraded R times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from pmrf_blocks.analysis.measurement import SCORES, Measurement, OnDemand, Score
from pmrf_blocks.metrics import METRICS, PROTOCOLS, frechet_distance, mmd_rbf
from pmrf_blocks.metrics.gathering import finite_or_infinite
from pmrf_blocks.metrics.per_image import ImageMetrics
from pmrf_blocks.metrics.registry import Extractor, build_extractor, check_metrics
from pmrf_blocks.metrics.report import DIGITS
from pmrf_blocks.metrics.weights import Unavailable

PROTOCOL = PROTOCOLS["celeba-test"]
PAPERS = (*(name for name in PROTOCOL.metrics if name not in SCORES), "clip_iqa")
INSTEAD = {"deg": "deg_dlib", "lmd": "lmd_dlib"}  # where the first of the paper's is not available
# What tables have of their own, or have nothing for.
ELSEWHERE = (*SCORES, "ind_rmse", "fd_efficientnet_lite0", "mmd_efficientnet_lite0")
FURTHER = {
    name: Score(metric.label + "*" * bool(metric.stand_in), DIGITS.get(name, 4), metric.better == "higher")
    for name, metric in METRICS.items()
    if name not in ELSEWHERE
}
BATCH = 8
STAND_INS = (
    "Columns with a star are stand-ins. FD-Lite0 and MMD-Lite0 (biased, times 1000, the originals' median distance as "
    "kernel width) and the mean distance between an image's features and its original's are on EfficientNet-Lite0 "
    "features, which need no download, in the place of Inception, DINOv2 and LPIPS. Compare them within this page "
    "only, never with the paper's columns; FD over so few images is biased upwards, alike for every row. Verdicts on "
    "FD and MMD are on these features, whatever else is measured."
)


class FurtherScores:
    """Metrics of FURTHER of images beside their originals, by the protocol 'celeba-test' of `pmrf-blocks evaluate`, in
    8 bits, as files of them would have.

    Arguments:
        clean: the originals (N, 3, H, W) in [0, 1], or OnDemand.
        metrics: names in FURTHER that must be measured; so must those whose `weights` are given.
        weights: published files by the name of their network or metric, as `evaluate --weights` takes them.
        papers: ask for PAPERS too, and for INSTEAD where these lack; what is not available is told, and left out.

    Attributes:
        names: what is measured.
        identities: networks and packages behind it, by metric or network.
        unavailable: the reason, by the name of each metric that was asked for in vain.

    Raises ValueError for a name that is none, and where one that must be measured is not available.
    """

    def __init__(
        self,
        clean: Tensor | OnDemand,
        *,
        metrics: Sequence[str] = (),
        weights: Mapping[str, str] | None = None,
        papers: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self.clean, self.device, weights = clean, torch.device(device), weights or {}
        known = {word for name in FURTHER for word in (name, METRICS[name].extractor) if word}
        for word in (*metrics, *weights):
            if word not in known or (word in metrics and word not in FURTHER):
                raise ValueError(f"further metrics and weights must be among {', '.join(sorted(known))}; got {word!r}")
        needed = (*metrics, *(name for name in FURTHER if {name, METRICS[name].extractor} & weights.keys()))
        asked = check_metrics((*needed, *((*PAPERS, *INSTEAD.values()) if papers else ())))
        sets = [name for name in asked if METRICS[name].compares == "distribution"]
        self.images = ImageMetrics([name for name in asked if name not in sets], PROTOCOL, weights, self.device)
        self.unavailable = dict(self.images.unavailable)
        height, width = clean.shape[-2:]
        images = self.images.fit([(height, width)], self.unavailable)
        spared = [other for name, other in INSTEAD.items() if name in images and other not in needed]
        self.per_image = [name for name in images if name not in spared]
        self.extractors: dict[str, Extractor] = {}
        for name in sets:
            self._build(name, weights)
        self.sets = [name for name in sets if name not in self.unavailable]
        for name, reason in self.unavailable.items():
            self.unavailable[name] = reason.replace("--weights", "--metric-weights")  # as recipes call it
        for name in needed:
            if name in self.unavailable:
                raise ValueError(f"{FURTHER[name].label} cannot be measured: {self.unavailable[name]}")

    def _build(self, name: str, weights: Mapping[str, str]) -> None:
        network = METRICS[name].extractor
        try:
            if network not in self.extractors:
                self.extractors[network] = build_extractor(network, weights=weights, device=self.device)
        except Unavailable as error:
            self.unavailable[name] = str(error)

    @property
    def names(self) -> list[str]:
        return [*self.per_image, *self.sets]

    @property
    def identities(self) -> dict[str, str]:
        networks = {name: extractor.identity for name, extractor in self.extractors.items()}
        return {**self.images.identities(self.per_image), **networks}

    def has(self, own: Measurement) -> bool:
        """Whether a measurement holds all of these, by the same networks."""
        return own.scores.keys() >= set(self.names) and self.identities.items() <= own.measured_by.items()

    def begin(self) -> Gathering:
        """What takes up a set of images, batch by batch."""
        return Gathering(self)

    @cached_property
    def _originals(self) -> dict[str, Tensor]:
        return {
            network: torch.cat([self.features(extractor, part) for part in self.clean.split(2 * BATCH)])
            for network, extractor in self.extractors.items()
        }

    def features(self, extractor: Extractor, images: Tensor) -> Tensor:
        """Of images in [0, 1], in 8 bits, (B, D) on the CPU."""
        return torch.cat([extractor.run(self.eight_bits(part)).cpu() for part in images.split(BATCH)])

    def distance(self, name: str, features: Tensor) -> float:
        """A metric of sets, of features (R N, D) from those of the originals: the mean over R."""
        originals = self._originals[METRICS[name].extractor]
        distance: Callable[..., Tensor] = frechet_distance
        options = {}
        if name.startswith("mmd"):
            distance = mmd_rbf
            options = {"sigma": PROTOCOL.mmd_sigma, "scale": PROTOCOL.mmd_scale, "biased": PROTOCOL.mmd_biased}
        parts = [float(distance(part, originals, **options)) for part in features.split(len(originals))]
        return sum(parts) / len(parts)

    def eight_bits(self, images: Tensor) -> Tensor:
        """Images in [0, 1] as a file of them would have them, on the device."""
        return (images.to(self.device) * 255.0).round() / 255.0


class Gathering:
    """The values of one set of images, which comes in batches."""

    def __init__(self, scores: FurtherScores) -> None:
        self.scores, self.count = scores, 0
        self.found: dict[str, list[Tensor]] = {name: [] for name in scores.per_image}
        self.features: dict[str, list[Tensor]] = {network: [] for network in scores.extractors}

    @torch.no_grad()
    def add(self, images: Tensor, target: Tensor) -> None:
        """Take up images (B, 3, H, W) in [0, 1] and their targets."""
        scores = self.scores
        for x, y in zip(images.split(BATCH), target.split(BATCH)) if self.found else ():
            numbers = [str(self.count + place) for place in range(len(x))]
            given = {"restored": scores.eight_bits(x), "reference": scores.eight_bits(y)}
            for name, values in scores.images(scores.per_image, given).items():
                self.found[name].append(finite_or_infinite(values, name, numbers))
            self.count += len(x)
        for network, extractor in scores.extractors.items():
            self.features[network].append(scores.features(extractor, images))

    def values(self) -> tuple[dict[str, Tensor], dict[str, float]]:
        """(values image by image, (R N,), by name; of sets, one number by name). As sets they are compared with the
        originals, one degradation after the other."""
        features = {network: torch.cat(parts) for network, parts in self.features.items()}
        sets = {name: self.scores.distance(name, features[METRICS[name].extractor]) for name in self.scores.sets}
        return {name: torch.cat(parts) for name, parts in self.found.items()}, sets


def columns(found: Iterable[Mapping[str, float]]) -> dict[str, Score]:
    """What a page has columns for: SCORES, and of FURTHER what is among the scores that were found."""
    had = {name for scores in found for name in scores}
    return {**SCORES, **{name: score for name, score in FURTHER.items() if name in had}} if had else {}


def notes(further: FurtherScores | None) -> list[str]:
    """What a page says of its columns, a line each: stand-ins, networks behind the others, what there is not."""
    if further is None:
        return [STAND_INS]
    lines = [STAND_INS, ""]
    for name in further.names:
        metric = METRICS[name]
        by = further.identities.get(name) or further.identities.get(metric.extractor) or "as published"
        instead = f"a stand-in for {metric.stand_in}, to be compared within this page only; " if metric.stand_in else ""
        lines.append(f"- {FURTHER[name].label}: {instead}{by}.")
    reasons: dict[str, list[str]] = {}
    for name, reason in further.unavailable.items():
        reasons.setdefault(reason, []).append(FURTHER[name].label)
    lines += [f"- Not measured: {', '.join(labels)}: {reason}." for reason, labels in reasons.items()]
    return lines if len(lines) > 2 else [STAND_INS]
