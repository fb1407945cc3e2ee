"""The command line of every recipe: python -m recipes.NAME --data DIR --scale paper|small|debug."""

from __future__ import annotations

import inspect
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from pmrf_blocks.analysis.speedups import speed_up_lines
from pmrf_blocks.data.split import layout_note
from pmrf_blocks.experiments.config import describe
from pmrf_blocks.experiments.curves import Figure, run_figure, run_starts, write_figure
from pmrf_blocks.experiments.evaluation import FaceSet
from pmrf_blocks.experiments.fitting import finished, trained
from pmrf_blocks.experiments.pages import Made, claim_lines, clean_commit, part_table, write_page
from pmrf_blocks.experiments.place import Place
from pmrf_blocks.experiments.release import adopt, write_pipelines
from pmrf_blocks.experiments.stages import Estimator, Flow, Release, stage_parts, with_seed
from pmrf_blocks.experiments.tables import PARTS, Table, run_table
from pmrf_blocks.training.frame import conclude, one_line_errors, set_up_process
from pmrf_blocks.training.processes import once, world_size

Recipe = Callable[[], Any]


@dataclass(frozen=True)
class Common:
    data: Path
    """Folder of images. As the recipes know it: ffhq512, lsdir512, celeba-test at the paper's scale (`pmrf-blocks
    prepare` makes them), faces256/train, faces256/val, faces256/test and photos at the smaller ones. Or one with train
    and val (and test). Or any other: of its images a sixteenth, chosen by a hash of the file's name, is held out."""
    runs: Path = Path("runs")
    """Where run folders go. A configuration that is finished there is not trained again, and one that was broken off
    goes on where it stopped."""
    scale: Literal["paper", "small", "debug"] = "paper"
    """'paper' is the paper's own; 'small' the same, smaller, on a CPU, in minutes to hours; 'debug' in seconds."""
    vgg19: Path | None = None
    """torchvision's vgg19 weights (vgg19-dcbb9e9d.pth), for the paper's perceptual loss."""
    estimator: str | None = None
    """A finished posterior-mean estimator: DifFace's .pth file, a folder, a hub id, or 'bundled', the one that ships
    (at the smaller scales). Trained here when not given."""
    autoencoder: str | None = None
    """A finished autoencoder for latent flows: a folder or hub id in diffusers layout, or 'bundled'."""
    device: str | None = None
    """'cpu', 'cuda', ...; the fastest there is when not given."""
    threads: int | None = None
    """CPU threads of this process; all cores when not given. Several are faster by OMP_NUM_THREADS=n."""
    workers: int | None = None
    """Processes that read images; the recipe's own number when not given."""
    compile: str | None = None
    """Backend of torch.compile, such as 'inductor'."""
    gradient_checkpointing: bool = False
    """Less memory, a third more time."""
    trackers: tuple[str, ...] | None = None
    """Accelerate's trackers, such as tensorboard and wandb; the recipe's own when not given."""
    show: bool = False
    """Print the whole configuration as JSON, every value that decides a weight, and stop."""

    def place(self) -> Place:
        """Where to read and write; sets the number of threads, and keeps freed memory."""
        set_up_process(self.threads)
        given = {"workers": self.workers, "compile": self.compile, "trackers": self.trackers}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if self.gradient_checkpointing:
            changes["gradient_checkpointing"] = True
        note = layout_note(self.data)
        if note is not None:
            print(note, file=sys.stderr)
        return Place(self.data, self.runs, self.device, self.vgg19, changes)

    def with_finished(self, stage: Any) -> Any:
        """The stage on the finished networks that were asked for; other degradations than blind-face train theirs."""
        if isinstance(stage, Estimator):
            fits = self.estimator is not None and stage.degradation == "blind-face"
            return replace(stage, published=self.estimator) if fits else stage
        changes = {
            name: self.with_finished(getattr(stage, name))
            for name in ("estimator", "latent_estimator", "flow", "pixel")
            if getattr(stage, name, None) is not None
        }
        if self.autoencoder is not None and getattr(stage, "autoencoder", None) is not None:
            changes["autoencoder"] = replace(stage.autoencoder, published=self.autoencoder)
        return replace(stage, **changes) if changes else stage


@dataclass(frozen=True)
class StageArguments(Common):
    stage: Annotated[str | None, tyro.conf.arg(aliases=["-s"])] = None
    """Train this part alone (autoencoder, estimator, flow, ...): parts can be trained side by side. What it builds on
    must be finished."""
    start: str | None = None
    """A pipeline ('bundled', a folder or a hub id): parts that RUNS lacks are taken from it, not trained."""
    weights: Path | None = None
    """Where the finished pipeline goes; the folder 'pipeline' of its run when not given."""
    seed: int = 0
    """Of the start, the order of the images, their crops, degradations and noise."""
    precision: Literal["fp32", "bf16"] | None = None
    """The recipe's own when not given."""
    accumulate: int | None = None
    """Micro-batches an update: the same batch in less memory."""
    pair_rounds: int | None = None
    """Train a flow on so many degradations an image, computed and encoded beforehand: for a degradation that is fixed,
    or an encoder that costs more than the flow. 0: fresh ones at every step. The recipe's own number when not given."""
    pairs: Path | None = None
    """Folder that keeps these pairs on the disk, for sets that memory does not hold and for other runs."""


@dataclass(frozen=True)
class TableArguments(Common):
    output: Path | None = None
    """Where NAME.md, NAME.json and the picture go; RUNS/pages when not given (pages of this repository:
    docs/results)."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Every row is trained once for each; the table has mean and standard deviation over them."""
    on: str | None = None
    """Folder below DIR whose faces are measured on, such as faces256/val, which are like those trained on; the recipe's
    own when not given."""
    degradation_seeds: int = 1
    """So many degradations of each of them."""
    limit: int | None = None
    """Measure on the first so many faces only."""
    parts: tuple[str, ...] = ()
    """Only these parts of a table: 'reconstruction' trains autoencoders alone, 'restoration' the flows."""
    rows: tuple[str, ...] = ()
    """Only these rows of a table, by their labels."""
    minutes: float | None = None
    """Begin nothing more after so many minutes, and write the page with what there is."""
    save_images: bool = False
    """Write all measured images as PNG files to RUNS/results, for `pmrf-blocks evaluate`: the paper's own metrics need
    weights that are not downloaded here."""
    allow_dirty: bool = False
    """Write the page though files differ from the commit that it names; it then says so."""

    def faces(self, place: Place, recipe: Table | Figure) -> FaceSet:
        images = recipe.faces if self.on is None else replace(recipe.faces, folder=self.on)
        return FaceSet(place, images, limit=self.limit, degradation_seeds=self.degradation_seeds)

    def made(self, name: str) -> Made:
        """How the page is made; its command as far as it decides the numbers. ValueError for a tree that is not
        clean."""
        line = f"python -m recipes.{name} --data DIR --scale {self.scale}"
        line += f" --seeds {' '.join(map(str, self.seeds))}"
        for option in ("on", "autoencoder", "estimator", "limit"):
            if getattr(self, option) is not None:
                line += f" --{option} {getattr(self, option)}"
        if self.degradation_seeds > 1:
            line += f" --degradation-seeds {self.degradation_seeds}"
        return Made(self.scale, line, clean_commit(self.allow_dirty), self.output or self.runs / "pages")

    def deadline(self) -> float | None:
        """When to begin nothing more, as time.time() counts."""
        return None if self.minutes is None else time.time() + 60.0 * self.minutes


def launch(description: str | None, *, paper: Recipe, small: Recipe, debug: Recipe) -> None:
    """The command line of a recipe: train what it describes at the scale asked for, or make its table or figure."""
    name = Path(inspect.getfile(paper)).stem
    kind = TableArguments if isinstance(paper(), (Table, Figure)) else StageArguments
    arguments: Any = tyro.cli(kind, description=description)
    with one_line_errors(name):
        recipe = {"paper": paper, "small": small, "debug": debug}[arguments.scale]()
        if isinstance(recipe, Table):
            recipe = only(recipe, arguments)
        elif isinstance(recipe, Figure):
            slow, fast = ((label, arguments.with_finished(flow)) for label, flow in recipe.flows)
            recipe = replace(recipe, slow=slow, fast=fast)
        else:
            recipe = chosen(arguments, recipe)
        if arguments.show:
            print(json.dumps(describe(recipe), indent=2))
            return
        make: Any = {Table: make_table, Figure: make_figure}.get(type(recipe), train)
        conclude(make(recipe, arguments, name), arguments.device)


def train(stage: Any, arguments: StageArguments, name: str) -> str:
    """Train a stage, or the part of it that was asked for; where it is, and how to restore with it."""
    place = replace(arguments.place(), pair_folder=arguments.pairs)
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
    for part in stage_parts(stage).values():
        trained(part, place)
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
    made, place = arguments.made(name), arguments.place()
    faces = arguments.faces(place, figure)
    curves = run_figure(figure, place, faces, arguments.seeds, arguments.deadline())
    if world_size() > 1:
        return place.runs
    starts = run_starts(figure, curves, place, faces)
    if made.scale != "debug":
        print(*speed_up_lines(figure.slow[0], figure.fast[0], curves, starts), "", sep="\n")
    return write_figure(figure, curves, starts, faces, made)


def make_table(table: Table, arguments: TableArguments, name: str) -> Path:
    """The page of one table. Behind torchrun the rows are trained alone; the same line without it measures them."""
    made, place = arguments.made(name), arguments.place()
    faces = arguments.faces(place, table)
    results = run_table(
        table,
        place,
        faces,
        seeds=arguments.seeds,
        parts=arguments.parts or table.parts,
        deadline=arguments.deadline(),
        save_images=arguments.save_images,
    )
    if world_size() > 1:
        return place.runs
    for part in table.parts:
        print(PARTS[part], *part_table(part, table.rows, results), "", sep="\n")
    print(*claim_lines(table, results, faces, made.scale), "", sep="\n")
    return write_page(table, results, faces, made)


def only(table: Table, arguments: TableArguments) -> Table:
    """The table with the rows and parts asked for, on the networks given; ValueError for names it has not."""
    check("--parts", arguments.parts, table.parts)
    check("--rows", arguments.rows, [row.label for row in table.rows])
    rows = [row for row in table.rows if not arguments.rows or row.label in arguments.rows]
    flows = [row.stage for row in rows if isinstance(row.stage, Flow)]
    latents = {json.dumps(describe(flow.autoencoder)) for flow in flows if flow.autoencoder is not None}
    if arguments.autoencoder is not None and len(latents) > 1:
        raise ValueError("--autoencoder: the rows of this table differ in their autoencoders")
    rows = [replace(row, stage=row.stage and arguments.with_finished(row.stage)) for row in rows]
    return replace(table, rows=tuple(rows))


def chosen(arguments: StageArguments, stage: Any) -> Any:
    """The recipe's stage with what the command line changes of it."""
    if arguments.autoencoder is not None and getattr(stage, "autoencoder", None) is None:
        sys.exit("--autoencoder: this recipe trains in pixels, or trains an autoencoder itself")
    if arguments.estimator is not None and isinstance(stage, Estimator):
        sys.exit("--estimator: this recipe trains one itself")
    if (arguments.pairs, arguments.pair_rounds) != (None, None) and not isinstance(stage, Flow):
        sys.exit("--pairs, --pair-rounds: this recipe trains no flow")
    stage = with_seed(arguments.with_finished(stage), arguments.seed)  # in this order: what is finished has no seed
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
