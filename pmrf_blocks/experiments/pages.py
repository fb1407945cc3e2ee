"""The page of a table or a figure: NAME.md, NAME.json with every number, a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pmrf_blocks.analysis.further import FURTHER, columns, notes
from pmrf_blocks.analysis.measurement import SCORES, Results
from pmrf_blocks.analysis.verdicts import RULE, verdicts
from pmrf_blocks.experiments.config import describe
from pmrf_blocks.experiments.evaluation import FaceSet
from pmrf_blocks.experiments.stages import Autoencoder, Estimator, Flow
from pmrf_blocks.experiments.tables import PARTS, Row, Table
from pmrf_blocks.restoration import comparison
from pmrf_blocks.training.environment import describe_environment

CREDITS = {
    "faces256/test": "The faces are photographs of real people, never trained on: DeBruine, L. (2022). webmorphR.stim "
    "(CC BY 4.0).",
    "faces256/val": "The faces are synthetic, of the kind that was trained on but apart from it.",
}
SCALE_NOTES = {
    "small": "Every run here took minutes of one CPU core and is short of convergence: what the rows show is "
    "which learns faster from few images, not where each would end. The paper's numbers are at another scale, on other "
    "images and by other feature networks; they stand here for the order of the rows alone.",
    "debug": "Two steps of the smallest networks: these numbers show that the recipe runs, and nothing else.",
}
NO_VERDICT = "At the debug scale there is none."


@dataclass(frozen=True)
class Made:
    """How a page was made: the scale, the command, the commit (clean_commit()), the folder that it goes to."""

    scale: str
    command: str
    commit: str
    folder: Path


def scale_line(stage: Any, *, whole: bool = True) -> str:
    """What was trained, in a sentence: steps, batches, sizes; of a flow not `whole`, its autoencoder alone."""
    parts = []
    if isinstance(stage, Flow) and not whole:
        inner: list[Any] = [stage.autoencoder]
    elif isinstance(stage, Flow):
        space = "pixels" if stage.autoencoder is None else "latents"
        parts.append(f"{type(stage).__name__.lower()} in {space}: {run_line(stage)}")
        inner = [stage.autoencoder, stage.estimator]
    else:
        inner = [stage]
    for part in inner:
        if isinstance(part, Autoencoder):
            crop = part.images[0].crop
            parts.append(f"autoencoder: {run_line(part)}, {crop}x{crop} crops, perceptual loss on {part.perceptual}")
        elif isinstance(part, Estimator):
            parts.append(f"estimator: {run_line(part)}")
    return "; ".join(parts)


def run_line(stage: Any) -> str:
    if getattr(stage, "published", None):
        return f"published weights ({stage.published})"
    train = stage.train
    return f"{train.steps:,} steps of {train.batch_size} at lr {train.lr:g}"


def part_table(part: str, rows: Sequence[Row], results: Results) -> list[str]:
    """One part's Markdown table: ours with the spread over seeds, then the paper's columns; these alone where nothing
    was run."""
    theirs = list(dict.fromkeys(label for row in rows for label in row.paper.get(part, {})))
    found = [seeds.values() for (own, _), seeds in results.measured.items() if own == part]
    scores = columns(one.scores for seeds in found for one in seeds)
    heads = [f"{score.label} {'↑' if score.higher else '↓'}" for score in scores.values()]
    heads = [*(["seeds", *heads] if scores else []), *(f"paper: {label}" for label in theirs)]
    lines = [*([] if scores else ["Not run here.", ""]), f"| | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for row in rows:
        paper = [f"{row.paper[part][c]:g}" if c in row.paper.get(part, {}) else "" for c in theirs]
        spreads = {name: results.spread(part, row.label, name) for name in scores}
        if any(spreads.values()) or row.paper.get(part):
            lines.append(f"| {' | '.join([row.label, *score_cells(spreads), *paper])} |")
    return lines if heads else ["Not run here."]


def score_cells(spreads: Mapping[str, tuple[float, float, int] | None]) -> list[str]:
    """Number of seeds, then the mean of each score with its spread over them."""
    if not spreads:
        return []
    cells, seeds = [], ""
    for name, spread in spreads.items():
        if spread is None:
            cells.append("not run")
            continue
        (mean, sd, count), digits = spread, {**SCORES, **FURTHER}[name].digits
        seeds = str(count)
        cells.append(f"{mean:.{digits}f}" + (f" ± {sd:.{digits}f}" if count > 1 else ""))
    return [seeds, *cells]


def runtime_table(rows: Sequence[Row], results: Results) -> list[str]:
    """What a restoration takes, ours and the paper's; empty where nothing is known of either."""
    theirs = list(dict.fromkeys(label for row in rows for label in row.paper.get("runtime", {})))
    own = list(results.runtimes.values())
    heads = ["seconds an image", "parameters, M"] if own else []
    heads += [f"paper: {label}" for label in theirs]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for row in rows:
        found, told = results.runtimes.get(row.label), row.paper.get("runtime", {})
        cells = ["", ""] if found is None else [f"{found.seconds:.4g}", found.parameters]
        cells = [*(cells if own else []), *(f"{told[label]:g}" if label in told else "" for label in theirs)]
        if found or told:
            lines.append(f"| {' | '.join([row.label, *cells])} |")
    if own:
        first = own[0]
        about = f"Seconds: the median of {first.calls} restorations of one {first.side}x{first.side} image"
        lines += ["", f"{about} on {first.device}, warm and synchronised. Parameters: trained + frozen."]
    return lines if heads else []


def claim_lines(table: Table, results: Results, faces: FaceSet, scale: str) -> list[str]:
    """Each claim with the verdict on it."""
    if scale == "debug":
        return [f"- {claim.text}" for claim in table.claims] + ["", NO_VERDICT]
    said = verdicts(table.claims, results, faces.reference)
    return [RULE, "", *(f"- {claim.text} **{verdict}.**" for claim, verdict in zip(table.claims, said))]


def missing_lines(table: Table, results: Results) -> list[str]:
    """What has no number of ours, and why."""
    lines = []
    for row in table.rows:
        if row.label in results.errors:
            lines.append(f"- {row.label}: training broke down ({results.errors[row.label]}).")
        elif not results.ran(row.label):
            lines.append(f"- {row.label}: not run{f' ({row.note})' if row.note else ''}.")
        elif row.note:
            lines.append(f"- {row.label}: {row.note}.")
    return lines


def header(title: str, made: Made, faces: FaceSet, seeds: Sequence[int], about: str) -> list[str]:
    environment = describe_environment()
    hardware = environment["accelerator"] or f"{environment['processor']}, {environment['threads']} thread(s)"
    size = faces.clean.shape[-1]
    spread = f"Seeds {', '.join(map(str, seeds))}: mean ± standard deviation over them."
    if len(seeds) == 1:
        spread = f"One seed ({seeds[0]}): the spread over seeds is not known."
    return [
        f"# {title}",
        "",
        f"Scale: **{made.scale}** ({size}x{size}). Made by `{made.command}`, commit {made.commit}, on {hardware}. "
        f"Measured on {len(faces)} images of {faces.folder}, {faces.inputs}. "
        + (spread if seeds else "Nothing was run."),
        "",
        *([SCALE_NOTES[made.scale], ""] if made.scale in SCALE_NOTES else []),
        *([about, ""] if about else []),
    ]  # fmt: skip


def markdown(table: Table, results: Results, faces: FaceSet, made: Made) -> str:
    ran = [row for row in table.rows if results.ran(row.label)]
    text = header(table.title, made, faces, results.seeds(), table.about)
    if ran:
        restored = {label for part, label in results.measured if part != "reconstruction"}
        kinds = list(dict.fromkeys(scale_line(row.stage, whole=row.label in restored) for row in ran))
        text += ["Trained here:", "", *(f"- {kind}" for kind in kinds), ""]
    for part in table.parts:
        text += [f"## {PARTS[part]}", "", *part_table(part, table.rows, results), ""]
    takes = runtime_table(table.rows, results) if table.runtime else []
    text += ["## What a restoration takes", "", *takes, ""] if takes else []
    text += [*notes(faces.reference.further), "", "## Do the paper's claims show at this scale?", ""]
    text += [*claim_lines(table, results, faces, made.scale), ""]
    missing = missing_lines(table, results)
    if missing:
        text += ["## Notes on rows", "", *missing, ""]
    shown = ["original", *(f"{label} ({part})" for part, label in shown_rows(table, results))]
    if len(shown) > 1:
        text += ["## Pictures", "", f"![faces]({table.name}.jpg)", ""]
        text += [f"From top to bottom: {', '.join(shown)}; first seed. The first faces of the set, not chosen. "
                 + CREDITS.get(faces.folder, ""), ""]  # fmt: skip
    return "\n".join(text)


def shown_rows(table: Table, results: Results) -> list[tuple[str, str]]:
    """(part, label) of the picture's rows."""
    pairs = [(part, row.label) for part in table.parts for row in table.rows]
    return [pair for pair in pairs if pair in results.measured]


def write_page(table: Table, results: Results, faces: FaceSet, made: Made) -> Path:
    """Write the three files; the path of the page."""
    made.folder.mkdir(parents=True, exist_ok=True)
    page = made.folder / f"{table.name}.md"
    page.write_text(markdown(table, results, faces, made), encoding="utf-8")
    (made.folder / f"{table.name}.json").write_text(
        json.dumps(record(table, results, faces, made), indent=1) + "\n", encoding="utf-8"
    )
    firsts = [next(iter(results.measured[pair].values())).pictures for pair in shown_rows(table, results)]
    if firsts:
        rows = [faces.clean[: len(firsts[0])], *(own.float() / 255.0 for own in firsts)]
        picture = comparison([[("", image) for image in row] for row in rows], tile=max(64, rows[0].shape[-1]))
        picture.save(made.folder / f"{table.name}.jpg", quality=88)
    return page


def record(table: Table, results: Results, faces: FaceSet, made: Made) -> dict[str, Any]:
    """Every number, the configuration of every row, and the machine."""
    environment = describe_environment()
    scores: dict[str, Mapping[str, Any]] = {
        f"{part}: {label}": {str(seed): own.scores for seed, own in seeds.items()}
        for (part, label), seeds in results.measured.items()
    }
    said = [] if made.scale == "debug" else verdicts(table.claims, results, faces.reference)
    return {
        "table": table.name,
        "scale": made.scale,
        "commit": made.commit,
        "images": f"{len(faces)} of {faces.folder}",
        "degradation_seeds": faces.seeds,
        "inputs": faces.inputs,
        "environment": {name: value for name, value in environment.items() if name != "command"},
        "torch": torch.__version__,
        "measured_by": faces.reference.further.identities if faces.reference.further else {},
        "scores": scores,
        "runtimes": {label: vars(own) for label, own in results.runtimes.items()},
        "errors": results.errors,
        "paper": {row.label: row.paper for row in table.rows},
        "claims": {claim.text: verdict for claim, verdict in zip(table.claims, said)},
        "rows": {row.label: describe(row.stage) for row in table.rows},
    }
