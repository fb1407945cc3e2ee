"""Convergence of two flows: scores against steps and against time, and the speed-up that the paper reads off them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pmrf_blocks.analysis.further import columns, notes
from pmrf_blocks.analysis.speedups import Curves, Point, draw_curves, point_rows, speed_up_lines
from pmrf_blocks.experiments.config import describe, stage_name
from pmrf_blocks.experiments.evaluation import FaceSet
from pmrf_blocks.experiments.fitting import pipeline_of, train_flow
from pmrf_blocks.experiments.image_sets import Images
from pmrf_blocks.experiments.pages import CREDITS, NO_VERDICT, Made, header, scale_line
from pmrf_blocks.experiments.parts import with_seed
from pmrf_blocks.experiments.place import Place
from pmrf_blocks.experiments.stages import Flow
from pmrf_blocks.experiments.tables import measure, restorations
from pmrf_blocks.plotting import save_figure
from pmrf_blocks.training.export import export
from pmrf_blocks.training.processes import once, world_size


@dataclass(frozen=True)
class Figure:
    """`fast` is said to converge faster than `slow`: `paper` gives by how much. Each is measured `pieces` times on
    `faces`.

    Examples:
        >>> from pmrf_blocks.training import TrainConfig
        >>> from pmrf_blocks.transformers import HourglassTransformer
        >>> faces, train = Images("faces", 64), TrainConfig(steps=100, batch_size=4)
        >>> velocity = Net(HourglassTransformer, in_channels=3)
        >>> slow = Flow(velocity, faces, faces, train, source="noise", condition="degraded")
        >>> fast = Flow(velocity, faces, faces, train, source="degraded")
        >>> figure = Figure("figure", "Sources", ("noise", slow), ("degraded", fast), "sooner", "2x", 5, faces)
        >>> [label for label, flow in figure.flows]
        ['noise', 'degraded']
    """

    name: str
    title: str
    slow: tuple[str, Flow]
    fast: tuple[str, Flow]
    claim: str
    paper: str
    pieces: int
    faces: Images
    about: str = ""

    @property
    def flows(self) -> tuple[tuple[str, Flow], tuple[str, Flow]]:
        return self.slow, self.fast


def curve_folder(flow: Flow, pieces: int, place: Place) -> Path:
    """Where a flow is trained for its curve: beside what a table may have trained, which has no pieces."""
    return place.folder(flow) / f"curve{pieces}"


def piece_folders(flow: Flow, pieces: int, place: Place) -> list[Path]:
    steps = flow.train.steps
    return [curve_folder(flow, pieces, place) / f"step-{steps * part // pieces:08d}" for part in range(1, pieces + 1)]


def run_curve(flow: Flow, pieces: int, place: Place, faces: FaceSet, save_images: bool = False) -> list[Point]:
    """The points of a flow's training; what is finished is read. The velocity after each piece stays in the run folder.

    Seconds are the training's own (computing of pairs included, measurements not): CPU seconds on a CPU, where
    other programs do not count, and the clock's elsewhere. Many processes train alone: one measures afterwards.
    """
    folders = piece_folders(flow, pieces, place)
    if not all(folder.is_dir() for folder in folders):
        leave: Callable[[nn.Module, int, float], None] = lambda network, step, seconds: once(  # noqa: E731
            lambda: leave_piece(network, seconds, folders[0].parent / f"step-{step:08d}"), place.device
        )
        clock = time.process_time if faces.device == "cpu" else time.perf_counter
        train_flow(flow, place, folder=folders[0].parent, pieces=pieces, after_piece=leave, clock=clock)
    if world_size() > 1:
        return []
    points, seconds = [], 0.0
    for folder in folders:
        step = int(folder.name.removeprefix("step-"))
        seconds += json.loads((folder / "seconds.json").read_text(encoding="utf-8"))
        path = place.runs / "results" / f"curve-{stage_name(flow)}-{step}-{faces.name}.json"
        own = faces.measured(path, partial(restored, flow, folder, place, faces), save_images=save_images)
        points.append(Point(step, seconds, own.scores))
    return points


def leave_piece(network: nn.Module, seconds: float, folder: Path) -> None:
    """The velocity after a piece of the training, and how many seconds that took; whole or not at all."""
    begun = folder.with_name(f".{folder.name}")
    export(network, begun)
    (begun / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")
    begun.replace(folder)


def restored(flow: Flow, folder: Path, place: Place, faces: FaceSet) -> Iterator[tuple[Tensor, Tensor]]:
    """(restored, target) by the velocity that a piece left, batch by batch."""
    pipeline = pipeline_of(flow, place, velocity=flow.velocity.load(folder)).eval().to(faces.device)
    return restorations(pipeline, faces, flow.degradation)


def run_figure(
    figure: Figure, place: Place, faces: FaceSet, seeds: Sequence[int], deadline: float, *,
    rows: Sequence[str] = (), save_images: bool = False,
) -> Curves:  # fmt: skip
    """Curves by label and seed, of these `rows` (labels) alone where some are given. `save_images` writes what is
    measured as PNG files beside its scores."""
    curves: Curves = {label: {} for label, _ in figure.flows}
    for seed in seeds:
        pair = [(label, with_seed(flow, seed)) for label, flow in figure.flows if label in (rows or curves)]
        done = all(path.is_dir() for _, flow in pair for path in piece_folders(flow, figure.pieces, place))
        if not done and time.time() > deadline:
            continue
        for label, flow in pair:
            curves[label][seed] = run_curve(flow, figure.pieces, place, faces, save_images)
    return curves


def run_starts(figure: Figure, curves: Curves, place: Place, faces: FaceSet) -> Curves:
    """Points at step 0: what each flow starts from, decoded, before any training of it."""
    starts: Curves = {}
    for label, flow in figure.flows:
        sources = {seed: measure("source", with_seed(flow, seed), place, faces) for seed in curves[label]}
        starts[label] = {seed: [Point(0, 0.0, source.scores)] for seed, source in sources.items() if source}
    return starts


def write_figure(figure: Figure, curves: Curves, starts: Curves, faces: FaceSet, made: Made) -> Path:
    """NAME.md, NAME.png with the curves, NAME.json with every point; the path of the page."""
    made.folder.mkdir(parents=True, exist_ok=True)
    seeds = sorted(next(iter(curves.values())))
    said = [NO_VERDICT] if made.scale == "debug" else speed_up_lines(figure.slow[0], figure.fast[0], curves, starts)
    text = header(figure.title, made, faces, seeds, figure.about)
    text += ["Trained here:", "", *(f"- {label}: {scale_line(flow)}" for label, flow in figure.flows), ""]
    scores = columns(point.scores for curve in curves.values() for points in curve.values() for point in points)
    heads = [f"{score.label} {'↑' if score.higher else '↓'}" for score in scores.values()]
    text += [f"| | steps | s | {' | '.join(heads)} |", "|---" * (3 + len(heads)) + "|"]
    for label, curve in curves.items():
        text += point_rows(label, starts.get(label, {}), scores) + point_rows(label, curve, scores)
    text += ["", "Step 0 is what the flow starts from, decoded, without its noise."] if starts else []
    text += ["", *notes(faces.reference.further), "", f"![curves]({figure.name}.png)", ""]
    text += ["## Does the paper's claim show at this scale?", ""]
    text += [
        f"{figure.claim} The paper: {figure.paper}. The speed-up is read off the curves as the paper reads its "
        f"own: what {figure.slow[0]} needs for its last score over what {figure.fast[0]} needs for the same.",
        "",
    ]
    text += [*said, "", CREDITS.get(faces.folder, "")]
    if seeds:
        save_figure(draw_curves(figure.slow[0], figure.fast[0], curves), made.folder / f"{figure.name}.png")
    told: dict[str, Any] = {
        "figure": figure.name,
        "scale": made.scale,
        "commit": made.commit,
        "images": f"{len(faces)} of {faces.folder}, {faces.inputs}",
        "curves": curves,
        "starts": starts,
        "verdict": said,
        "flows": {label: describe(flow) for label, flow in figure.flows},
    }  # fmt: skip
    (made.folder / f"{figure.name}.json").write_text(json.dumps(told, indent=1, default=vars) + "\n", encoding="utf-8")
    page = made.folder / f"{figure.name}.md"
    page.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")
    return page
