"""The command line that every chain recipe shares."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pmrf_blocks.training.processes import once
from recipes.adopt import adopt, is_adopted
from recipes.chain import STAGES, Chain, Place
from recipes.common.launch import conclude, one_line_errors, set_up_process

Stage = Literal["all", "autoencoder", "estimator", "decoder", "flow", "pixel", "assemble"]


@dataclass(frozen=True)
class Arguments:
    data: Path
    """Folder with faces256/train, faces256/val and photos."""
    runs: Path = Path("runs")
    """Where run folders go: RUNS/RECIPE/STAGE."""
    stage: Annotated[Stage, tyro.conf.arg(aliases=["-s"])] = "all"
    """Stage to train; each needs the exports of those before it."""
    start: str | None = None
    """A pipeline ('bundled', a folder or a hub id): stages that RUNS lacks are taken from it, not trained."""
    device: str | None = None
    """'cpu', 'cuda', ...; the fastest there is when not given."""
    weights: Path | None = None
    """Where the stage assemble writes the pipelines; RUNS/RECIPE/assembled when not given."""
    threads: int | None = None
    """Processor threads of this process; all cores when not given. Several are faster by OMP_NUM_THREADS=n."""
    debug: bool = False
    """Train the tiny twin: every stage in seconds."""
    show: bool = False
    """Print the configuration as JSON and stop."""


def main(recipe: Callable[[], Chain], debug: Callable[[], Chain], description: str | None) -> None:
    """Parse the command line and train the stages asked for."""
    arguments = tyro.cli(Arguments, description=description)
    chain = debug() if arguments.debug else recipe()
    if arguments.show:
        print(json.dumps(asdict(chain), indent=2, default=str))
        return
    set_up_process(arguments.threads)
    name = recipe.__name__ + ("-debug" if arguments.debug else "")
    place = Place(chain, arguments.data, arguments.runs / name, arguments.device, arguments.weights)
    with one_line_errors(recipe.__name__):
        start = arguments.start
        if start is not None:
            once(lambda: adopt(start, place.runs), arguments.device)
        for stage in STAGES if arguments.stage == "all" else (arguments.stage,):
            if arguments.stage == stage or not is_adopted(place.runs / stage):
                STAGES[stage](place)
    conclude(place.runs, arguments.device)
