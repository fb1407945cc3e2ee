"""A table of the paper as a whole: rows to train and measure, the paper's own numbers, and what it claims of them."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pmrf_blocks.training import TrainingError
from recipes.common.evaluation import FaceSet, Scores, estimate, reconstruct, remembered, restore
from recipes.common.fitting import Place, flow_ends, trained, world_size
from recipes.common.stages import Autoencoder, Estimator, Flow, stage_name, with_seed

PARTS = {
    "reconstruction": "Reconstruction by the autoencoder",
    "source": "What the flow starts from, decoded",
    "restoration": "Restoration",
}
SHOWN = 8  # faces in the picture of a table


@dataclass(frozen=True)
class Row:
    """One line of a table. `stage` is measured: an autoencoder's reconstructions, an estimator's or a flow's
    restorations (a flow's autoencoder too); None has the paper's numbers alone, and `note` says why.

    `paper` holds these: {part: {label of the column: number}}.
    """

    label: str
    stage: Flow | Estimator | Autoencoder | None
    paper: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """What the paper says of the table: for each (part, score, labels), the labels from best to worst. `unstable`
    names a row whose training is said to break down."""

    text: str
    orders: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    unstable: str | None = None


@dataclass(frozen=True)
class Table:
    """`name` is that of the page; `parts` are those of PARTS that it shows."""

    name: str
    title: str
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]
    parts: tuple[str, ...] = ("reconstruction", "restoration")
    about: str = ""


@dataclass
class Results:
    """Scores by (part, label), one of each seed, in the order of the seeds; why a row could not be trained."""

    scores: dict[tuple[str, str], dict[int, Scores]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    pictures: dict[tuple[str, str], Tensor] = field(default_factory=dict)

    def add(self, part: str, label: str, seed: int, result: dict[str, Any]) -> None:
        self.scores.setdefault((part, label), {})[seed] = result["scores"]

    def values(self, part: str, label: str, score: str) -> list[float]:
        return [scores[score] for scores in self.scores.get((part, label), {}).values()]

    def spread(self, part: str, label: str, score: str) -> tuple[float, float, int] | None:
        """(mean, standard deviation, number of seeds); None where nothing was run."""
        values = self.values(part, label, score)
        if not values:
            return None
        return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0, len(values)

    def seeds(self) -> list[int]:
        return sorted({seed for scores in self.scores.values() for seed in scores})


def run_table(
    table: Table,
    place: Place,
    faces: FaceSet,
    *,
    seeds: Sequence[int],
    parts: Sequence[str] | None = None,
    deadline: float | None = None,
    save_images: bool = False,
) -> Results:
    """Train and measure the rows, one seed after the other, so that whatever the time allows is a whole table.

    What is finished is read, not done again. `deadline` (time.time()): nothing is begun after it. `save_images`
    writes all that is measured as PNG files beside its scores.
    """
    results = Results()
    for seed in seeds:
        for row in table.rows:
            for part, stage in row_parts(row, seed, parts or table.parts):
                path = result_path(place, part, stage, faces)
                if not path.exists() and deadline is not None and time.time() > deadline:
                    continue
                try:
                    result = measure(part, stage, place, faces, save_images)
                except TrainingError as error:
                    results.errors[row.label] = f"seed {seed}: {error}"
                    continue
                if result is not None:
                    results.add(part, row.label, seed, result)
                    results.pictures.setdefault((part, row.label), torch.load(path.with_suffix(".pt")))
    return results


def row_parts(row: Row, seed: int, parts: Sequence[str]) -> list[tuple[str, Any]]:
    """(part, the stage that it measures) of a row. An estimator has one seed: the one that all rows share."""
    if row.stage is None:
        return []
    if isinstance(row.stage, Estimator):
        return [("restoration", row.stage)] if "restoration" in parts else []
    stage = with_seed(row.stage, seed)
    own = {"reconstruction": stage if isinstance(stage, Autoencoder) else stage.autoencoder}
    if isinstance(stage, Flow):
        own |= {"source": stage, "restoration": stage}
    return [(part, own[part]) for part in parts if own.get(part) is not None]


def result_path(place: Place, part: str, stage: Any, faces: FaceSet) -> Path:
    measured_on = f"{faces.name.replace('/', '-')}-{len(faces.pixels)}"
    return place.runs / "results" / f"{part}-{stage_name(stage)}-{measured_on}.json"


def measure(part: str, stage: Any, place: Place, faces: FaceSet, save_images: bool) -> dict[str, Any] | None:
    """{'scores': ...} of a stage, whose first images are kept beside; None on many processes, which only train:
    one process measures afterwards, by the same command without torchrun."""
    path = result_path(place, part, stage, faces)
    if world_size() > 1:
        if not path.exists():
            trained(stage, place)
        return None
    if save_images and not path.with_suffix("").is_dir():
        path.unlink(missing_ok=True)  # the scores alone are there: make the images again
    return remembered(path, partial(compute, part, stage, place, faces, path, save_images))


@torch.no_grad()
def compute(
    part: str, stage: Any, place: Place, faces: FaceSet, path: Path, save_images: bool = False
) -> dict[str, Any]:
    """Scores of a stage; its first images go beside `path`, and all of them, with the originals, if asked for."""
    with torch.enable_grad():
        network = trained(stage, place).to(faces.device)
    target = faces.clean
    if part == "reconstruction":
        images = reconstruct(network, faces.clean, faces.device)
    else:
        degraded, target = faces.degraded(stage.degradation)
        if isinstance(stage, Estimator):
            images = estimate(network, degraded, faces.device)
        else:
            velocity = None if part == "source" else network
            images = restore(flow_ends(stage, place).to(faces.device), velocity, degraded, faces.device)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save((images[:SHOWN] * 255.0).round().to(torch.uint8), path.with_suffix(".pt"))
    if save_images:
        write_images(images, path.with_suffix(""))
        write_images(target, path.parent / "originals")
    parameters = sum(p.numel() for p in network.parameters())
    return {"scores": faces.scores(images, target), "stage": stage_name(stage), "parameters": parameters}


def write_images(images: Tensor, folder: Path) -> None:
    """PNG files named by number, as `pmrf-blocks evaluate` takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        pixels = (image * 255.0).round().to(torch.uint8).permute(1, 2, 0)
        Image.fromarray(pixels.numpy()).save(folder / f"{number:05d}.png")


def verdict(claim: Claim, results: Results, higher: Mapping[str, bool]) -> str:
    """What our numbers say of a claim: a word and the reason for it."""
    if claim.unstable is not None:
        if claim.unstable in results.errors:
            return f"Shows: {results.errors[claim.unstable]}"
        ran = any(label == claim.unstable for _, label in results.scores)
        return "Does not show: its training went through" if ran else "Not run"
    against, close, single = [], [], False
    for part, score, labels in claim.orders:
        spreads = [results.spread(part, label, score) for label in labels]
        if any(spread is None for spread in spreads):
            return "Not run"
        for (better, a), (worse, b) in itertools.pairwise(zip(labels, spreads)):
            assert a is not None
            assert b is not None
            gain = (a[0] - b[0]) * (1 if higher[score] else -1)
            what = f"{part} {score}, {better} against {worse}"
            single = single or min(a[2], b[2]) < 2
            if gain <= 0:
                against.append(what)
            elif gain <= (a[1] ** 2 + b[1] ** 2) ** 0.5:
                close.append(what)
    if against:
        return f"Does not show: not in {'; '.join(against)}"
    if single:
        return "Shows in the one seed that was run"
    return f"Undecided: as claimed, but within the spread in {'; '.join(close)}" if close else "Shows"
