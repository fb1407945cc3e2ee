"""The command line of the tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from recipes.common.curves import Figure, run_figure, run_starts, speed_up_lines, write_figure
from recipes.common.evaluation import FaceSet
from recipes.common.fitting import world_size
from recipes.common.launch import Common, conclude, one_line_errors
from recipes.common.page import claim_lines, part_table, write_page
from recipes.common.sizes import Scale, held_out
from recipes.common.stages import Flow, stage_name
from recipes.common.tables import PARTS, Table, run_table


@dataclass(frozen=True)
class TableArguments(Common):
    output: Path = Path("docs/results")
    """Where NAME.md, NAME.json and NAME.jpg go."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Every row is trained once for each; the table has mean and standard deviation over them."""
    split: str = "test"
    """Faces that are measured on: 'test', or 'val' (synthetic, as those trained on); CelebA-Test at the paper's
    scale."""
    limit: int | None = None
    """Measure on the first so many faces only."""
    parts: tuple[str, ...] = ()
    """Only these parts of the table: 'reconstruction' trains autoencoders alone, 'restoration' the flows."""
    rows: tuple[str, ...] = ()
    """Only these rows, by their labels."""
    minutes: float | None = None
    """Begin nothing more after so many minutes, and write the page with what there is."""

    save_images: bool = False
    """Write all measured images as PNG files to RUNS/results, for `pmrf-blocks evaluate`: the paper's own metrics need
    weights that are not downloaded here."""

    def faces(self) -> FaceSet:
        return FaceSet(held_out(self.scale, self.split), self.place().images, limit=self.limit, device=self.device)

    def line(self, name: str) -> str:
        """The command that makes the page, as far as it decides the numbers."""
        line = f"python -m recipes.{name} --data DIR --scale {self.scale} --split {self.split}"
        line += f" --seeds {' '.join(map(str, self.seeds))}"
        for name in ("autoencoder", "estimator"):
            if getattr(self, name) is not None:
                line += f" --{name} {getattr(self, name)}"
        return line if self.limit is None else f"{line} --limit {self.limit}"

    def deadline(self) -> float | None:
        """When to begin nothing more, as time.time() counts."""
        return None if self.minutes is None else time.time() + 60.0 * self.minutes


def launch_table(recipe: Callable[[Scale], Table], description: str | None) -> None:
    """Parse the command line, train and measure the rows, write the page, print the tables and the verdicts.

    Behind torchrun the rows are trained alone; the same line without it then measures them and writes the page.
    """
    arguments = tyro.cli(TableArguments, description=description)
    with one_line_errors(recipe.__name__):
        conclude(make_table(recipe, arguments), arguments.device)


def launch_figure(recipe: Callable[[Scale], Figure], description: str | None) -> None:
    """The same for a figure's two curves."""
    arguments = tyro.cli(TableArguments, description=description)
    with one_line_errors(recipe.__name__):
        conclude(make_figure(recipe, arguments), arguments.device)


def make_figure(recipe: Callable[[Scale], Figure], arguments: TableArguments) -> Path:
    """The page of one figure."""
    figure, place, faces = recipe(arguments.scale), arguments.place(), arguments.faces()
    slow, fast = ((label, arguments.with_finished(flow)) for label, flow in (figure.slow, figure.fast))
    figure = replace(figure, slow=slow, fast=fast)
    curves = run_figure(figure, place, faces, arguments.seeds, arguments.deadline())
    if world_size() > 1:
        return place.runs
    starts = run_starts(figure, curves, place, faces)
    print(*speed_up_lines(figure, curves, starts), "", sep="\n")
    command = arguments.line(recipe.__name__)
    return write_figure(figure, curves, starts, faces, arguments.output, scale=arguments.scale, command=command)


def make_table(recipe: Callable[[Scale], Table], arguments: TableArguments) -> Path:
    """The page of one table."""
    table = only(recipe(arguments.scale), arguments)
    place, faces = arguments.place(), arguments.faces()
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
    print(*claim_lines(table.claims, results), "", sep="\n")
    command = arguments.line(recipe.__name__)
    return write_page(table, results, faces, arguments.output, scale=arguments.scale, command=command)


def only(table: Table, arguments: TableArguments) -> Table:
    """The table with the rows and parts asked for, on the estimator given; ValueError for names it has not."""
    check("--parts", arguments.parts, table.parts)
    check("--rows", arguments.rows, [row.label for row in table.rows])
    rows = [row for row in table.rows if not arguments.rows or row.label in arguments.rows]
    flows = [row.stage for row in rows if isinstance(row.stage, Flow)]
    latents = {stage_name(flow.autoencoder) for flow in flows if flow.autoencoder is not None}
    if arguments.autoencoder is not None and len(latents) > 1:
        raise ValueError("--autoencoder: the rows of this table differ in their autoencoders")
    return replace(table, rows=tuple(replace(row, stage=arguments.with_finished(row.stage)) for row in rows))


def check(flag: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(f"{flag} must be among {', '.join(map(repr, known))}; got {name!r}")
