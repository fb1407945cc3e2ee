"""Convergence of two flows: scores against steps and against time, and the speed-up that the paper reads off them."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pmrf_blocks.analysis.convergence import Curve
from pmrf_blocks.plotting import new_figure, save_figure
from pmrf_blocks.training.export import export
from pmrf_blocks.training.processes import processes
from recipes.common.evaluation import SCORES, FaceSet, Scores, restore
from recipes.common.fitting import Place, finished, flow_ends, train_flow, world_size
from recipes.common.page import CREDITS, FEATURES, header, scale_line
from recipes.common.stages import Flow, essence, stage_name, with_seed
from recipes.common.tables import measure

PLOTTED = ("psnr", "fd", "mmd")
SPED_UP = ("fd", "mmd", "feature_distance")


@dataclass(frozen=True)
class Figure:
    """`fast` is said to converge faster than `slow`: `paper` gives by how much. Each is measured `pieces` times."""

    name: str
    title: str
    slow: tuple[str, Flow]
    fast: tuple[str, Flow]
    claim: str
    paper: str
    pieces: int
    about: str = ""


@dataclass(frozen=True)
class Point:
    """One measurement: updates done, seconds of training until then, scores."""

    step: int
    seconds: float
    scores: Scores


def run_curve(flow: Flow, pieces: int, place: Place, faces: FaceSet) -> list[Point]:
    """The points of a flow's training, measured as it goes; what is finished is read. Seconds are the training's
    own (encoding of cached pairs included, measurements not): processor seconds on a CPU, where other programs do
    not count, and the clock's elsewhere."""
    name = f"curve{pieces}-{stage_name(flow)}-{faces.name.replace('/', '-')}-{len(faces.pixels)}.json"
    path = place.runs / "results" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    points = [Point(**point) for point in json.loads(path.read_text())] if path.exists() else []
    if points and points[-1].step == flow.train.steps:
        return points
    ends = flow_ends(flow, place).to(faces.device)
    degraded, target = faces.degraded(flow.degradation)
    clock = time.process_time if faces.device == "cpu" else time.perf_counter

    def after_piece(network: Any, step: int, seconds: float) -> None:
        if points and points[-1].step >= step:
            return
        images = restore(ends, network.to(faces.device), degraded, faces.device)
        before = points[-1].seconds if points else 0.0
        points.append(Point(step, before + seconds, faces.scores(images, target)))
        path.write_text(json.dumps([point.__dict__ for point in points], indent=1) + "\n")

    left = place.folder(flow) / "pieces"
    if world_size() > 1:
        train_flow(flow, place, pieces=pieces, after_piece=partial(leave_piece, left), clock=clock)
        return points
    for folder in sorted(left.glob("step-*")):
        seconds = json.loads((folder / "seconds.json").read_text())
        after_piece(flow.velocity.factory.from_pretrained(folder).eval(), int(folder.name.split("-")[1]), seconds)
    if not finished(flow, place):
        train_flow(flow, place, pieces=pieces, after_piece=after_piece, clock=clock)
    if not points or points[-1].step < flow.train.steps:
        raise ValueError(
            f"{place.folder(flow)} was trained without measurements on the way; move it away to have its curve, "
            "and run figures before tables that share their flows"
        )
    return points


def leave_piece(left: Path, network: Any, step: int, seconds: float) -> None:
    """Keep a piece's weights for one process to measure: many must not wait for that."""
    if processes().is_main_process:
        folder = left / f"step-{step:08d}"
        export(network, folder)
        (folder / "seconds.json").write_text(json.dumps(seconds))


def reached(points: Sequence[Point], score: str, level: float) -> tuple[float, float] | None:
    """(steps, seconds) at which a curve first reaches `level`, linear between its points; None if it never does."""
    values = tuple(point.scores[score] for point in points)
    axes = (tuple(float(point.step) for point in points), tuple(point.seconds for point in points))
    steps, seconds = (Curve(axis, values).first_reach(level, higher=SCORES[score].higher) for axis in axes)
    return None if steps is None or seconds is None else (steps, seconds)


def speed_up(slow: Sequence[Point], fast: Sequence[Point], score: str) -> tuple[float, float] | None:
    """How many times fewer (steps, seconds) `fast` needs for the score that `slow` ends with; None if it does not
    get there. Where `fast` is there at its first point this is a lower bound."""
    found = reached(fast, score, slow[-1].scores[score])
    return None if found is None else (slow[-1].step / found[0], slow[-1].seconds / found[1])


Curves = dict[str, dict[int, list[Point]]]


def run_figure(figure: Figure, place: Place, faces: FaceSet, seeds: Sequence[int], deadline: float | None) -> Curves:
    """Curves by label and seed."""
    curves: Curves = {label: {} for label, _ in (figure.slow, figure.fast)}
    for seed in seeds:
        pair = [(label, with_seed(flow, seed)) for label, flow in (figure.slow, figure.fast)]
        late = deadline is not None and time.time() > deadline
        if late and not all(finished(flow, place) for _, flow in pair):
            continue
        for label, flow in pair:
            curves[label][seed] = run_curve(flow, figure.pieces, place, faces)
    return curves


def run_starts(figure: Figure, curves: Curves, place: Place, faces: FaceSet) -> Curves:
    """Points at step 0: what each flow starts from, decoded, before any training of it."""
    starts: Curves = {}
    for label, flow in (figure.slow, figure.fast):
        sources = {seed: measure("source", with_seed(flow, seed), place, faces, False) for seed in curves[label]}
        starts[label] = {seed: [Point(0, 0.0, source["scores"])] for seed, source in sources.items() if source}
    return starts


def speed_up_lines(figure: Figure, curves: Curves, starts: Curves) -> list[str]:
    """The verdict: a line for each score. A lead that is there before any training says nothing of speed."""
    lines = []
    for score in SPED_UP:
        pairs = [
            speed_up(points, curves[figure.fast[0]][seed], score) for seed, points in curves[figure.slow[0]].items()
        ]
        found = [pair for pair in pairs if pair is not None]
        label = f"{SCORES[score].label}:"
        if not pairs:
            lines.append(f"- {label} not run.")
        elif len(found) < len(pairs):
            lines.append(
                f"- {label} **does not show**: {figure.fast[0]} does not reach what {figure.slow[0]} ends with in "
                f"{len(pairs) - len(found)} of {len(pairs)} seed(s)."
            )
        else:
            steps, seconds = ([pair[i] for pair in found] for i in (0, 1))
            factors = f"{spread(steps)} times in steps, {spread(seconds)} times in time"
            if ahead(figure, starts, curves, score):
                lines.append(
                    f"- {label} **undecided**: {factors}, at least; but {figure.fast[0]} is beyond what "
                    f"{figure.slow[0]} ends with before its flow is trained at all."
                )
                continue
            word = "shows" if min(seconds) > 1 else "does not show"
            lines.append(
                f"- {label} **{word}**: {factors}"
                + (", at least: it is there at its first measurement." if ahead(figure, curves, curves, score) else ".")
            )
    return lines


def ahead(figure: Figure, first: Curves, last: Curves, score: str) -> bool:
    """Whether the fast flow's first point in `first` is, with every seed, beyond where the slow one ends in `last`."""
    fast, sign = first.get(figure.fast[0], {}), 1.0 if SCORES[score].higher else -1.0
    ends = last[figure.slow[0]]
    return bool(fast) and all(
        sign * (points[0].scores[score] - ends[seed][-1].scores[score]) >= 0 for seed, points in fast.items()
    )


def spread(values: Sequence[float]) -> str:
    sd = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{sd}"


def draw(figure: Figure, curves: Curves, path: Path) -> None:
    """One panel a score, one line a seed, against seconds of training."""
    canvas = new_figure(4.0 * len(PLOTTED), 3.2)
    axes = canvas.subplots(1, len(PLOTTED))
    for axis, score in zip(axes, PLOTTED):
        for label, colour in ((figure.slow[0], "tab:orange"), (figure.fast[0], "tab:blue")):
            for number, points in enumerate(curves[label].values()):
                x, y = [point.seconds for point in points], [point.scores[score] for point in points]
                axis.plot(x, y, color=colour, marker="o", markersize=3, label=None if number else label)
        axis.set_xlabel("seconds of training")
        axis.set_title(f"{SCORES[score].label} ({'higher' if SCORES[score].higher else 'lower'} is better)")
        axis.grid(alpha=0.3)
    axes[0].legend()
    save_figure(canvas, path)


def point_rows(label: str, curve: dict[int, list[Point]]) -> list[str]:
    """Mean and spread over seeds at every step."""
    rows = []
    for points in zip(*curve.values()):
        cells = []
        for name, score in SCORES.items():
            values = [point.scores[name] for point in points]
            sd = f" ± {statistics.stdev(values):.{score.digits}f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.{score.digits}f}{sd}")
        seconds = statistics.mean(point.seconds for point in points)
        rows.append(f"| {label} | {points[0].step} | {seconds:.0f} | {' | '.join(cells)} |")
    return rows


def write_figure(
    figure: Figure, curves: Curves, starts: Curves, faces: FaceSet, folder: Path, *, scale: str, command: str
) -> Path:
    """NAME.md, NAME.png with the curves, NAME.json with every point; the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = sorted(next(iter(curves.values())))
    text = header(figure.title, scale, faces, command, seeds, figure.about)
    text += ["Trained here:", "", *(f"- {label}: {scale_line(flow)}" for label, flow in (figure.slow, figure.fast)), ""]
    heads = [f"{score.label} {'↑' if score.higher else '↓'}" for score in SCORES.values()]
    text += [f"| | steps | s | {' | '.join(heads)} |", "|---" * (3 + len(heads)) + "|"]
    for label, curve in curves.items():
        text += point_rows(label, starts.get(label, {})) + point_rows(label, curve)
    text += ["", "Step 0 is what the flow starts from, decoded, without its noise."] if starts else []
    text += ["", FEATURES, "", f"![curves]({figure.name}.png)", "", "## Does the paper's claim show at this scale?", ""]
    text += [
        f"{figure.claim} The paper: {figure.paper}. The speed-up is read off the curves as the paper reads its "
        f"own: what {figure.slow[0]} needs for its last score over what {figure.fast[0]} needs for the same.",
        "",
    ]
    text += [*speed_up_lines(figure, curves, starts), "", CREDITS.get(faces.name, "")]
    if seeds:
        draw(figure, curves, folder / f"{figure.name}.png")
    record: dict[str, Any] = {
        "figure": figure.name,
        "scale": scale,
        "images": f"{len(faces.pixels)} of {faces.name}",
        "curves": as_json(curves),
        "starts": as_json(starts),
        "verdict": speed_up_lines(figure, curves, starts),
        "flows": {label: essence(flow) for label, flow in (figure.slow, figure.fast)},
    }  # fmt: skip
    (folder / f"{figure.name}.json").write_text(json.dumps(record, indent=1) + "\n")
    page = folder / f"{figure.name}.md"
    page.write_text("\n".join(text).rstrip() + "\n")
    return page


def as_json(curves: Curves) -> dict[str, dict[str, list[dict[str, Any]]]]:
    return {
        label: {str(seed): [point.__dict__ for point in points] for seed, points in curve.items()}
        for label, curve in curves.items()
    }
