"""The command line of every recipe: python -m recipes.NAME --data DIR --scale paper|small|debug."""

from __future__ import annotations

import inspect
import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pmrf_blocks.analysis.speedups import speed_up_lines
from pmrf_blocks.data.split import layout_note
from pmrf_blocks.experiments.config import describe
from pmrf_blocks.experiments.curves import Figure, run_figure, run_starts, write_figure
from pmrf_blocks.experiments.evaluation import FaceSet
from pmrf_blocks.experiments.fitting import finished, trained
from pmrf_blocks.experiments.pages import Made, claim_lines, part_table, runtime_table, write_page
from pmrf_blocks.experiments.parts import stage_parts, with_seed
from pmrf_blocks.experiments.place import Place
from pmrf_blocks.experiments.plan import find_device, plan, plan_lines, plan_record
from pmrf_blocks.experiments.release import adopt, write_pipelines
from pmrf_blocks.experiments.stages import Estimator, Flow, Release
from pmrf_blocks.experiments.tables import PARTS, Table, run_table, with_methods
from pmrf_blocks.training.environment import clean_commit
from pmrf_blocks.training.frame import conclude, one_line_errors, set_up_process
from pmrf_blocks.training.processes import once, world_size

if TYPE_CHECKING:
    from pmrf_blocks.commands.arguments.recipe import Common, StageArguments, TableArguments

Recipe = Callable[[], Any]


def launch(
    description: str | None, *, paper: Recipe, small: Recipe, debug: Recipe, release: Recipe | None = None
) -> None:
    """The command line of a recipe: train what it describes at the scale asked for, or make its table or figure."""
    name = Path(inspect.getfile(paper)).stem
    arguments = read_arguments(paper(), name, description)
    scales = {"paper": paper, "release": release, "small": small, "debug": debug}
    with one_line_errors(name):
        scale = scales[arguments.scale]
        if scale is None:
            raise ValueError("--scale release: nothing was published by which this recipe would differ from the paper")
        recipe: Any = scale()
        if isinstance(recipe, Table):
            recipe = only(recipe, arguments)
        elif isinstance(recipe, Figure):
            refuse_of_tables(recipe, arguments)
            slow, fast = ((label, with_finished(arguments, flow)) for label, flow in recipe.flows)
            recipe = replace(recipe, slow=slow, fast=fast)
        else:
            recipe = chosen(arguments, recipe)
        if arguments.show:
            print(json.dumps(describe(recipe), indent=2))
            return
        if arguments.plan is not None:
            print(*planned(recipe, arguments), sep="\n")
            return
        if arguments.processes != 1 or arguments.json:
            flag = "--json" if arguments.json else "--processes"
            raise ValueError(f"{flag} is for --plan{'' if arguments.json else ': torchrun says how many there are'}")
        make: Any = {Table: make_table, Figure: make_figure}.get(type(recipe), train)
        conclude(make(recipe, arguments, name), arguments.device)


def read_arguments(recipe: Any, name: str, description: str | None) -> Any:
    """The command line's arguments; one line where the package is missing that reads them."""
    with one_line_errors(name):
        try:
            import tyro

            from pmrf_blocks.commands.arguments.recipe import StageArguments, TableArguments
        except ModuleNotFoundError as error:
            raise ImportError(f"recipes need {error.name}: pip install pmrf-blocks[train]") from None
    kind: Any = TableArguments if isinstance(recipe, (Table, Figure)) else StageArguments
    return tyro.cli(kind, description=description)


def planned(recipe: Any, arguments: Any) -> list[str]:
    """What --plan prints."""
    device, processes, alone = find_device(arguments.plan), arguments.processes, getattr(arguments, "stage", None)
    seeds, parts = getattr(arguments, "seeds", (0,)), getattr(arguments, "parts", ())
    if alone is not None:
        check("--stage", [alone], list(stage_parts(recipe)))
    lines = plan(
        recipe, seeds=seeds, parts=parts, alone=alone, processes=processes,
        gradient_checkpointing=arguments.gradient_checkpointing, place=Place(arguments.data, arguments.runs),
    )  # fmt: skip
    if arguments.json:
        return [json.dumps(plan_record(lines, device, processes), indent=2)]
    return plan_lines(lines, device, processes)


def train(stage: Any, arguments: StageArguments, name: str) -> str:
    """Train a stage, or the part of it that was asked for; where it is, and how to restore with it."""
    place = replace(place_of(arguments), pair_folder=arguments.pairs)
    start = arguments.start
    if start is not None:
        once(lambda: adopt(start, stage, place), arguments.device)
    if arguments.stage is not None:
        parts = stage_parts(stage)
        check("--stage", [arguments.stage], list(parts))
        part = parts[arguments.stage]
        needed = {role: own for role, own in stage_parts(part).items() if own != part}
        missing = [role for role, own in needed.items() if not finished(own, place)]
        if missing:
            raise ValueError(f"--stage {arguments.stage} builds on {', '.join(missing)}: train that first")
        trained(part, place)
        return str(place.folder(part))
    whole = (stage.decoder, stage.mean, stage.flow, stage.pixel) if isinstance(stage, Release) else (stage,)
    for part in whole:
        if part is not None and not finished(part, place):
            trained(part, place)  # and what it builds on
    if not isinstance(stage, (Flow, Release)):
        return str(place.folder(stage))
    folder = arguments.weights or place.folder(stage) / "pipeline"
    try:
        once(lambda: write_pipelines(stage, place, folder), arguments.device)
    except ValueError as error:  # a network of one's own, that only this process knows
        print(f"{name}: trained, but not saved as a pipeline: {error}", file=sys.stderr)
        return str(place.folder(stage))
    return f"{folder}\npmrf-blocks restore --model {folder} PHOTO --output restored"


def make_figure(figure: Figure, arguments: TableArguments, name: str) -> Path:
    """The page of one figure."""
    made, place = made_by(arguments, name), place_of(arguments)
    faces = faces_of(arguments, place, figure)
    curves = run_figure(
        figure, place, faces, arguments.seeds, time.time() + 60.0 * arguments.minutes,
        rows=arguments.rows, save_images=arguments.save_images,
    )  # fmt: skip
    if world_size() > 1 or (arguments.rows and len(set(arguments.rows)) < len(curves)):
        return place.runs  # the page takes all curves
    starts = run_starts(figure, curves, place, faces)
    if made.scale != "debug":
        print(*speed_up_lines(figure.slow[0], figure.fast[0], curves, starts), "", sep="\n")
    return write_figure(figure, curves, starts, faces, made)


def make_table(table: Table, arguments: TableArguments, name: str) -> Path:
    """The page of one table. Behind torchrun the rows are trained alone; the same line without it measures them."""
    made, place = made_by(arguments, name), place_of(arguments)
    faces = faces_of(arguments, place, table)
    results = run_table(
        table, place, faces, seeds=arguments.seeds, parts=arguments.parts or table.parts,
        deadline=time.time() + 60.0 * arguments.minutes, save_images=arguments.save_images,
    )  # fmt: skip
    if world_size() > 1:
        return place.runs
    for part in table.parts:
        print(PARTS[part], *part_table(part, table.rows, results), "", sep="\n")
    if table.runtime:
        print("What a restoration takes", *runtime_table(table.rows, results), "", sep="\n")
    print(*claim_lines(table, results, faces, made.scale), "", sep="\n")
    return write_page(table, results, faces, made)


def only(table: Table, arguments: TableArguments) -> Table:
    """The table with the rows and parts asked for, on the networks given; ValueError for names it has not."""
    check("--parts", arguments.parts, table.parts)
    check("--rows", arguments.rows, [row.label for row in table.rows])
    wanted = (*arguments.rows, *(written.partition("=")[0] for written in arguments.methods))
    rows = [row for row in table.rows if not arguments.rows or row.label in wanted]
    flows = [row.stage for row in rows if isinstance(row.stage, Flow)]
    latents = {json.dumps(describe(flow.autoencoder)) for flow in flows if flow.autoencoder is not None}
    if arguments.autoencoder is not None and len(latents) > 1:
        raise ValueError("--autoencoder: the rows of this table differ in their autoencoders")
    rows = [replace(row, stage=row.stage and with_finished(arguments, row.stage)) for row in rows]
    return with_methods(replace(table, rows=tuple(rows)), arguments.methods)


def refuse_of_tables(figure: Figure, arguments: TableArguments) -> None:
    """ValueError for what a figure would pass over in silence, and for rows that are none of its curves."""
    for name in ("parts", "methods"):
        if getattr(arguments, name):
            raise ValueError(f"--{name}: this recipe is a figure, and that is for tables")
    check("--rows", arguments.rows, [label for label, _ in figure.flows])


def chosen(arguments: StageArguments, stage: Any) -> Any:
    """The recipe's stage with what the command line changes of it."""
    if arguments.autoencoder is not None and getattr(stage, "autoencoder", None) is None:
        sys.exit("--autoencoder: this recipe trains in pixels, or trains an autoencoder itself")
    if arguments.estimator is not None and isinstance(stage, Estimator):
        sys.exit("--estimator: this recipe trains one itself")
    if (arguments.pairs, arguments.pair_rounds) != (None, None) and not isinstance(stage, Flow):
        sys.exit("--pairs, --pair-rounds: this recipe trains no flow")
    stage = with_seed(with_finished(arguments, stage), arguments.seed)  # in this order: what is finished has no seed
    if arguments.pair_rounds is not None:
        stage = replace(stage, pair_rounds=arguments.pair_rounds)
    if arguments.pairs is not None and not stage.pair_rounds:
        sys.exit("--pairs: say by --pair-rounds how many degradations of an image it is to hold")
    given = {"accumulate": arguments.accumulate, "precision": arguments.precision}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if changes and not hasattr(stage, "train"):
        sys.exit("--accumulate, --precision: this recipe trains several flows")
    return replace(stage, train=replace(stage.train, **changes)) if changes else stage


def check(flag: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(f"{flag} must be among {', '.join(map(repr, known))}; got {name!r}")


def place_of(arguments: Common) -> Place:
    """Where to read and write; sets the number of threads, and keeps freed memory."""
    set_up_process(arguments.threads)
    given = {"workers": arguments.workers, "compile": arguments.compile, "trackers": arguments.trackers}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if arguments.gradient_checkpointing:
        changes["gradient_checkpointing"] = True
    note = layout_note(arguments.data)
    if note is not None:
        print(note, file=sys.stderr)
    places = (arguments.data, arguments.runs, arguments.device)
    return Place(*places, arguments.vgg19, changes, inception=arguments.inception)


def with_finished(arguments: Common, stage: Any) -> Any:
    """The stage on the finished networks that were asked for; other degradations than blind-face train theirs."""
    if isinstance(stage, Estimator):
        fits = arguments.estimator is not None and stage.degradation == "blind-face"
        return replace(stage, published=arguments.estimator) if fits else stage
    changes = {
        name: with_finished(arguments, getattr(stage, name))
        for name in ("estimator", "latent_estimator", "mean", "flow", "pixel")
        if getattr(stage, name, None) is not None
    }
    if arguments.autoencoder is not None and getattr(stage, "autoencoder", None) is not None:
        changes["autoencoder"] = replace(stage.autoencoder, published=arguments.autoencoder)
    return replace(stage, **changes) if changes else stage


def faces_of(arguments: TableArguments, place: Place, recipe: Table | Figure) -> FaceSet:
    images = recipe.faces if arguments.on is None else replace(recipe.faces, folder=arguments.on, degraded=None)
    seeds, weights = arguments.degradation_seeds, dict(given.partition("=")[::2] for given in arguments.metric_weights)
    if arguments.inception is not None:
        weights.setdefault("inception", str(arguments.inception))
    further = {"metrics": arguments.metrics, "weights": weights, "papers": arguments.scale in ("paper", "release")}
    return FaceSet(place, images, limit=arguments.limit, degradation_seeds=seeds, further=further)


def made_by(arguments: TableArguments, name: str) -> Made:
    """How the page is made; its command as far as it decides the numbers. ValueError for a tree that is not
    clean."""
    line = f"python -m recipes.{name} --data DIR --scale {arguments.scale}"
    line += f" --seeds {' '.join(map(str, arguments.seeds))}"
    for option in ("on", "autoencoder", "estimator", "inception", "limit"):
        if getattr(arguments, option) is not None:
            line += f" --{option} {getattr(arguments, option)}"
    for option in ("methods", "metrics", "metric_weights"):
        if getattr(arguments, option):
            line += f" --{option.replace('_', '-')} {shlex.join(getattr(arguments, option))}"
    if arguments.degradation_seeds > 1:
        line += f" --degradation-seeds {arguments.degradation_seeds}"
    folder = arguments.output or arguments.runs / "pages"
    return Made(arguments.scale, line, clean_commit(arguments.allow_dirty), folder)
