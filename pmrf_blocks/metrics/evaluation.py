"""A set of restored images measured under a protocol: streamed, one number a metric, one value an image."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.images import shown
from pmrf_blocks.metrics.bootstrap import bootstrap_interval
from pmrf_blocks.metrics.frechet import frechet_distance
from pmrf_blocks.metrics.gathering import Gathered, finite_or_infinite
from pmrf_blocks.metrics.image_sets import (
    DEFAULT,
    LOGGER,
    ImageSetError,
    Reading,
    batches,
    find_set,
    inspect,
    match_sets,
)
from pmrf_blocks.metrics.mmd import mmd_rbf
from pmrf_blocks.metrics.per_image import ImageMetrics
from pmrf_blocks.metrics.protocols import Protocol
from pmrf_blocks.metrics.registry import METRICS, Extractor, build_extractor, check_metrics
from pmrf_blocks.metrics.scores import Evaluation, Score
from pmrf_blocks.metrics.statistics import Statistics
from pmrf_blocks.metrics.weights import Unavailable

Progress = Callable[[int], object]


class Evaluator:
    """Measures folders under one protocol; networks and the reference's statistics are made once.

    Arguments:
        protocol: how, and, where `metrics` is None, what.
        metrics: names in METRICS.
        reference, posterior_mean: folders (or files) with a partner for every restored image.
        statistics: of the reference set, in place of reading it; one for each extractor.
        weights: published files by the name of their network or metric, or REPO_ID:FILE on the hub.
        resamples, seed: of the bootstrap; 0 resamples leave intervals out.
        reading: how image files are found and read.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, level in (("restored", 100), ("reference", 110)):
        ...         Path(folder, name).mkdir()
        ...         Image.new("RGB", (32, 32), (level, level, level)).save(f"{folder}/{name}/a.png")
        ...     evaluator = Evaluator(find_protocol("images"), metrics=["psnr"], reference=Path(folder, "reference"))
        ...     evaluation = evaluator.evaluate(Path(folder, "restored"))
        >>> round(evaluation.scores["psnr"].value, 2)
        28.13
    """

    def __init__(
        self,
        protocol: Protocol,
        *,
        metrics: Sequence[str] | None = None,
        reference: Path | None = None,
        posterior_mean: Path | None = None,
        statistics: Sequence[Statistics] = (),
        weights: Mapping[str, str] | None = None,
        device: torch.device | str = "cpu",
        batch_size: int = 8,
        workers: int = 2,
        resamples: int = 1000,
        seed: int = 0,
        reading: Reading = DEFAULT,
    ) -> None:
        self.protocol, self.reading = protocol, reading
        self.metrics = check_metrics(tuple(protocol.metrics if metrics is None else metrics))
        self._told: set[str] = set()
        self.reference = None if reference is None else find_set(reference, reading, tell=self._tell)
        self.posterior_mean = None if posterior_mean is None else find_set(posterior_mean, reading, tell=self._tell)
        self.given = list(statistics)
        self.device, self.batch_size, self.workers = torch.device(device), batch_size, workers
        self.resamples, self.seed = resamples, seed
        self.unavailable: dict[str, str] = {}
        weights = weights or {}
        self._leave_out_without_sets()
        self.images = ImageMetrics(
            self._wanted("reference", "posterior mean", "nothing"), protocol, weights, self.device
        )
        self.unavailable |= self.images.unavailable
        self.extractors: dict[str, Extractor] = {}
        for name in self._wanted("distribution"):
            self._build(name, weights)
        self.reference_statistics: dict[str, Statistics] = {}

    def _tell(self, line: str) -> None:
        """Log a line, once."""
        if line not in self._told:
            self._told.add(line)
            LOGGER.warning("%s", line)

    def _wanted(self, *compares: str) -> list[str]:
        return [n for n in self.metrics if METRICS[n].compares in compares and n not in self.unavailable]

    def _leave_out_without_sets(self) -> None:
        paired = self.reference is not None and self.protocol.paired
        for name in self.metrics:
            compares = METRICS[name].compares
            if compares == "reference" and not paired:
                self.unavailable[name] = (
                    "give --reference" if self.protocol.paired else f"the protocol {self.protocol.name} has no pairs"
                )
            elif compares == "posterior mean" and self.posterior_mean is None:
                self.unavailable[name] = "give --posterior-mean"
            elif compares == "distribution" and self.reference is None and not self.given:
                self.unavailable[name] = "give --reference, or --statistics of a reference set"

    def _build(self, name: str, weights: Mapping[str, str]) -> None:
        extractor = METRICS[name].extractor
        try:
            if extractor not in self.extractors:
                self.extractors[extractor] = build_extractor(extractor, weights=weights, device=self.device)
            identity = self.extractors[extractor].identity
            if self.reference is None and not any(s.extractor == identity for s in self.given):
                held = "; ".join(s.extractor for s in self.given)
                raise Unavailable(f"give --statistics of the extractor '{identity}' (those given: {held})")
        except Unavailable as error:
            self.unavailable[name] = str(error)

    def check(self, *folders: Path) -> None:
        """ImageSetError where one of the folders cannot be measured: found before anything is computed."""
        for folder in folders:
            self._inspect(find_set(folder, self.reading, tell=self._tell))

    def evaluate(self, folder: Path, *, method: str = "", progress: Progress | None = None) -> Evaluation:
        """Measure one folder, or one file. `progress` is called with the number of images after each batch."""
        restored = find_set(folder, self.reading, tell=self._tell)
        sizes = self._inspect(restored)
        unavailable = dict(self.unavailable)
        distances = self._distances(restored, unavailable)
        images = self.images.fit(sizes, unavailable)
        partners = {"reference": self.reference, "posterior mean": self.posterior_mean}
        used = [kind for kind in partners if any(METRICS[name].compares == kind for name in images)]
        sets = [list(restored.values())]
        sets += [self._partners(restored, partners[kind]) for kind in used]
        # Filled in place: small tensors kept from every batch would pin the allocator's large blocks between them.
        per_image = {name: torch.empty(len(restored), dtype=torch.float64, device="cpu") for name in images}
        needed = {METRICS[name].extractor for name in distances}
        features: dict[str, Gathered] = {name: Gathered(len(restored), self._keeps(name, distances)) for name in needed}
        names = list(restored)
        for indices, tensors in self._batches(sets, sizes):
            ready = [self._prepare(tensor) for tensor in tensors]
            given = dict(zip(("restored", *used), ready))
            for name, values in self.images(images, given).items():
                per_image[name][indices] = finite_or_infinite(values, name, [names[i] for i in indices])
            for name, gathered in features.items():
                gathered.add(self.extractors[name], ready[0], [names[i] for i in indices])
            if progress is not None:
                progress(len(indices))
        scores = {name: Score(unavailable=reason) for name, reason in unavailable.items()}
        scores |= {name: self._score(values, METRICS[name].squares) for name, values in per_image.items()}
        for name in distances:
            value = self._distance(name, features[METRICS[name].extractor])
            scores[name] = Score(value, None, len(restored))
        return Evaluation(
            method or shown(folder.stem if folder.is_file() else Path(os.path.realpath(folder)).name),
            shown(folder),
            self.protocol,
            names,
            {name: scores[name] for name in self.metrics},
            {name: values.tolist() for name, values in per_image.items()},
            {**self.images.identities(images), **{name: self.extractors[name].identity for name in sorted(needed)}},
        )

    def statistics(self, extractor: str) -> Statistics:
        """Of the reference set under one extractor: given, or measured now, once."""
        if extractor not in self.reference_statistics:
            identity = self.extractors[extractor].identity
            for given in self.given:
                if given.extractor == identity:
                    self.reference_statistics[extractor] = given
                    return given
            if self.reference is None:
                raise ImageSetError(f"no reference set, and no statistics of the extractor '{identity}'")
            sizes = [self._size(path)[:2] for path in self.reference.values()]
            names, gathered = list(self.reference), Gathered(len(self.reference), True)
            for indices, (tensor,) in self._batches([list(self.reference.values())], sizes):
                gathered.add(self.extractors[extractor], self._prepare(tensor), [names[i] for i in indices])
            self.reference_statistics[extractor] = Statistics(
                identity, str(self.protocol), gathered.moments, gathered.features
            )
        return self.reference_statistics[extractor]

    def _batches(
        self, sets: Sequence[Sequence[Path]], sizes: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[list[int], list[Tensor]]]:
        return batches(sets, sizes, batch_size=self.batch_size, workers=self.workers, reading=self.reading)

    def _inspect(self, restored: Mapping[str, Path]) -> list[tuple[int, int]]:
        """Size of every image; an error where sets, sizes or colours differ."""
        found = {name: self._size(path) for name, path in restored.items()}
        for kind, partners in (("reference images", self.reference), ("posterior means", self.posterior_mean)):
            if partners is None or (kind == "reference images" and not self.protocol.paired):
                continue
            match_sets(restored, partners, kind)
            problems = []
            for (name, own), path in zip(found.items(), self._partners(restored, partners)):
                other = self._size(path)
                if own[:2] != other[:2]:
                    problems.append(f"{name} is {own[0]}x{own[1]}, its partner {other[0]}x{other[1]}")
                elif own[2] != other[2]:
                    problems.append(f"{name} is {'grey' if own[2] else 'coloured'}, its partner is not")
            if problems:
                raise ImageSetError(
                    f"{len(problems)} of {len(found)} {kind} do not fit (nothing is resized or converted): "
                    + "; ".join(problems[:10])
                )
        return [(height, width) for height, width, _ in found.values()]

    def _size(self, path: Path) -> tuple[int, int, bool]:
        height, width, grey = inspect(path, self.reading)
        side = self.protocol.size
        if side is not None and (height, width) != (side, side):
            raise ImageSetError(f"{path} is {height}x{width}; the protocol {self.protocol} is of {side}x{side} images")
        if min(height, width) <= 2 * self.protocol.crop:
            raise ImageSetError(
                f"{path} is {height}x{width}: nothing is left after {self.protocol.crop} pixels a border"
            )
        return height, width, grey

    @staticmethod
    def _partners(restored: Mapping[str, Path], partners: Mapping[str, Path] | None) -> list[Path]:
        assert partners is not None
        return list(partners.values()) if len(partners) == 1 else [partners[name] for name in restored]

    def _prepare(self, tensor: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) to float in [0, 1], resized and cropped as the protocol says."""
        x = tensor.to(self.device).float() / 255.0
        if self.protocol.resize is not None:
            scale = self.protocol.resize / min(x.shape[2:])
            sides = [max(self.protocol.resize, round(side * scale)) for side in x.shape[2:]]
            x = F.interpolate(x, sides, mode="bicubic", align_corners=False, antialias=True)
            x = (x * 255.0).round().clamp(0, 255) / 255.0
        crop = self.protocol.crop
        return x[..., crop : x.shape[2] - crop, crop : x.shape[3] - crop] if crop else x

    def _distances(self, restored: Mapping[str, Path], unavailable: dict[str, str]) -> list[str]:
        wanted = self._wanted("distribution")
        if len(restored) < 2:
            for name in wanted:
                unavailable[name] = "a distribution needs at least 2 images, and means little below hundreds; got 1"
            return []
        for name in wanted:
            statistics = self.statistics(METRICS[name].extractor)
            if statistics.moments.count < 2:
                unavailable[name] = "the reference set has 1 image; a distribution needs at least 2"
            elif statistics.protocol.split(" (")[-1] != str(self.protocol).split(" (")[-1]:
                unavailable[name] = f"the statistics are of the protocol {statistics.protocol}, not {self.protocol}"
            elif name.startswith("mmd") and statistics.features is None:
                unavailable[name] = "the statistics hold no features, which the MMD needs"
        return [name for name in wanted if name not in unavailable]

    @staticmethod
    def _keeps(extractor: str, distances: Sequence[str]) -> bool:
        return any(METRICS[name].extractor == extractor and name.startswith("mmd") for name in distances)

    def _distance(self, name: str, gathered: Gathered) -> float:
        reference = self.statistics(METRICS[name].extractor)
        if not name.startswith("mmd"):
            return float(frechet_distance(gathered.moments, reference.moments))
        assert reference.features is not None
        assert gathered.features is not None
        p = self.protocol
        return float(
            mmd_rbf(gathered.features, reference.features, sigma=p.mmd_sigma, scale=p.mmd_scale, biased=p.mmd_biased)
        )

    def _score(self, values: Tensor, squares: bool) -> Score:
        interval = None
        values = values.square() if squares else values
        mean = float(values.mean())
        if self.resamples and len(values) > 1 and bool(torch.isfinite(values).all()):
            generator = torch.Generator().manual_seed(self.seed)
            interval = bootstrap_interval(values, generator=generator, resamples=self.resamples)
            interval = (interval[0] ** 0.5, interval[1] ** 0.5) if squares else interval
        return Score(mean**0.5 if squares else mean, interval, len(values))
