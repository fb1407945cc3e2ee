"""A table of the paper as a whole: rows to train and measure, the paper's own numbers, and what it claims of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from pmrf_blocks.analysis.measurement import Measurement, Results
from pmrf_blocks.analysis.verdicts import Claim
from pmrf_blocks.experiments.config import config_hash, stage_name
from pmrf_blocks.experiments.evaluation import FaceSet, reconstruct, start_of
from pmrf_blocks.experiments.fitting import pipeline_of, trained
from pmrf_blocks.experiments.image_sets import Images
from pmrf_blocks.experiments.networks import Net
from pmrf_blocks.experiments.parts import with_seed
from pmrf_blocks.experiments.place import Place
from pmrf_blocks.experiments.runtime import Runtime, device_name, load_runtime, measure_runtime, save_runtime
from pmrf_blocks.experiments.stages import Autoencoder, Estimator, Flow
from pmrf_blocks.restoration import PosteriorMean
from pmrf_blocks.restoration.held_out import BATCH, restore_held_out
from pmrf_blocks.training import TrainingError
from pmrf_blocks.training.processes import world_size

PARTS = {
    "reconstruction": "Reconstruction by the autoencoder",
    "source": "What the flow starts from, decoded",
    "restoration": "Restoration",
}


@dataclass(frozen=True)
class Row:
    """One line of a table. `stage` is measured: an autoencoder's reconstructions, an estimator's or a flow's
    restorations (a flow's autoencoder too); None has the paper's numbers alone, and `note` says why.

    `paper` holds these: {part: {label of the column: number}}, with 'runtime' as one more part.

    Examples:
        >>> row = Row("SwinIR", None, paper={"restoration": {"PSNR": 26.0}}, note="its weights are not at hand")
        >>> row.paper["restoration"]["PSNR"]
        26.0
    """

    label: str
    stage: Flow | Estimator | Autoencoder | None
    paper: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Table:
    """`name` is that of the page; `faces` are measured on; `parts` are those of PARTS that it shows. `runtime`: measure
    what a restoration takes, too.

    Examples:
        >>> rows = tuple(Row(label, None, note="not trained here") for label in ("ours", "theirs"))
        >>> better = Claim("Ours reconstructs better", orders=(("reconstruction", "psnr", ("ours", "theirs")),))
        >>> Table("table", "Two autoencoders", rows, (better,), faces=Images("faces", 256)).parts
        ('reconstruction', 'restoration')
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]
    faces: Images
    parts: tuple[str, ...] = ("reconstruction", "restoration")
    about: str = ""
    runtime: bool = False


def with_methods(table: Table, methods: Sequence[str]) -> Table:
    """The table with networks of other projects, 'LABEL=FILE', measured on what its own rows restore: in the row of
    that label, which nothing of ours trains, or in a row more. ValueError for one that cannot be a row."""
    rows = {row.label: row for row in table.rows}
    own = (getattr(row.stage, "estimator", row.stage) for row in table.rows)
    like = next((stage for stage in own if isinstance(stage, Estimator)), None)
    for written in methods:
        label, _, file = written.partition("=")
        row = rows.get(label, Row(label, None))
        if not label or not Path(file).is_file():
            raise ValueError(f"--methods must be LABEL=FILE, with a file that is there; got {written!r}")
        if like is None or "restoration" not in table.parts:
            raise ValueError("--methods: no row of this table restores by an estimator")
        if row.stage is not None:
            raise ValueError(f"--methods: the row {label!r} is one that is trained here")
        stage = replace(like, published=file)
        rows[label] = replace(row, stage=stage, note=f"another project's method, by its file {Path(file).name}")
    return replace(table, rows=tuple(rows.values()))


def run_table(
    table: Table,
    place: Place,
    faces: FaceSet,
    *,
    seeds: Sequence[int],
    parts: Sequence[str] | None = None,
    deadline: float = math.inf,
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
                done = result_path(place, part, stage, faces).exists()
                if not done and time.time() > deadline:
                    continue
                try:
                    found = measure(part, stage, place, faces, save_images)
                except TrainingError as error:
                    results.errors[row.label] = f"seed {seed}: {error}"
                    continue
                if found is None:
                    continue
                results.measured.setdefault((part, row.label), {})[seed] = found
                if table.runtime and part == "restoration" and row.label not in results.runtimes:
                    results.runtimes[row.label] = runtime(stage, place, faces)
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
    return place.runs / "results" / f"{part}-{stage_name(stage)}-{faces.name}.json"


def measure(part: str, stage: Any, place: Place, faces: FaceSet, save_images: bool = False) -> Measurement | None:
    """The measurement of a stage, computed once and read ever after; None on many processes, which only train: one
    process measures afterwards, by the same command without torchrun."""
    path = result_path(place, part, stage, faces)
    if world_size() > 1:
        if not path.exists():
            trained(stage, place)
        return None
    return faces.measured(path, lambda: outputs(part, stage, place, faces), save_images=save_images)


def runtime(stage: Any, place: Place, faces: FaceSet) -> Runtime:
    """What a restoration takes on faces of this size on this device; measured once and read ever after."""
    side = faces.clean.shape[-1]
    path = place.runs / "results" / f"runtime-{stage_name(stage)}-{config_hash((side, device_name(faces.device)))}.json"
    if not path.exists():
        save_runtime(measure_runtime(restorer(stage, place).to(faces.device), side, faces.device), path)
    return load_runtime(path)


def restorer(stage: Any, place: Place) -> Any:
    """What restores with a trained estimator or flow."""
    found = trained(stage, place)
    return PosteriorMean(estimator=found, size=stage.images.size) if isinstance(stage, Estimator) else found


def outputs(part: str, stage: Any, place: Place, faces: FaceSet) -> Iterator[tuple[Tensor, Tensor]]:
    """(images, their targets) of a stage, both (B, 3, H, W) in [0, 1], batch by batch."""
    if part == "reconstruction":
        autoencoder = trained(stage, place).to(faces.device)
        for target in faces.clean.split(BATCH):
            yield reconstruct(autoencoder, target, faces.device), target
        return
    if part == "source":
        pipeline = pipeline_of(stage, place, velocity=None).eval().to(faces.device)
        for _, degraded, target in faces.degraded(stage.degradation):
            yield start_of(pipeline, degraded, faces.device), target
        return
    yield from restorations(restorer(stage, place).to(faces.device), faces, stage.degradation)


def restorations(pipeline: Any, faces: FaceSet, degradation: str | Net) -> Iterator[tuple[Tensor, Tensor]]:
    """(restored, target) of a pipeline on the set's device, batch by batch."""
    for first, degraded, target in faces.degraded(degradation):
        yield restore_held_out(pipeline, degraded, first=first), target
