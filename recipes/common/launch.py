"""The command line of a recipe that trains one model."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

from pmrf_blocks.training.allocator import keep_freed_memory
from pmrf_blocks.training.processes import processes
from recipes.common.fitting import Place, trained, world_size
from recipes.common.sizes import Scale
from recipes.common.stages import Estimator, Flow, Stage, essence, with_seed


@dataclass(frozen=True)
class Common:
    data: Path
    """Folder with the image folders that the recipe names."""
    runs: Path = Path("runs")
    """Where run folders go. A configuration that is finished there is not trained again, and one that was broken off
    goes on where it stopped."""
    scale: Scale = "paper"
    """'paper' is the paper's own; 'small' the same at 64x64 on a processor, in minutes; 'debug' in seconds."""
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
    """Processor threads of this process; all cores when not given. Several are faster by OMP_NUM_THREADS=n."""
    workers: int | None = None
    """Processes that read images; the recipe's own number when not given."""
    compile: str | None = None
    """Backend of torch.compile, such as 'inductor'."""
    gradient_checkpointing: bool = False
    """Less memory, a third more time."""
    trackers: tuple[str, ...] | None = None
    """Accelerate's trackers, such as tensorboard and wandb; the recipe's own when not given."""

    def place(self) -> Place:
        """Where to read and write; sets the number of threads, and keeps freed memory."""
        set_up_process(self.threads)
        given = {"workers": self.workers, "compile": self.compile, "trackers": self.trackers}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if self.gradient_checkpointing:
            changes["gradient_checkpointing"] = True
        return Place(self.data, self.runs, self.device, self.vgg19, changes)

    def with_finished(self, stage: Any) -> Any:
        """The stage on the finished networks that were asked for; other degradations than blind-face train theirs."""
        if isinstance(stage, Estimator):
            fits = self.estimator is not None and stage.degradation == "blind-face"
            return replace(stage, published=self.estimator) if fits else stage
        changes = {}
        for name in ("estimator", "latent_estimator"):
            if getattr(stage, name, None) is not None:
                changes[name] = self.with_finished(getattr(stage, name))
        if self.autoencoder is not None and getattr(stage, "autoencoder", None) is not None:
            changes["autoencoder"] = replace(stage.autoencoder, published=self.autoencoder)
        return replace(stage, **changes) if changes else stage


@dataclass(frozen=True)
class Arguments(Common):
    seed: int = 0
    """Of the start, the order of the images, their crops, degradations and noise."""
    precision: Literal["fp32", "bf16"] | None = None
    """The recipe's own when not given."""
    accumulate: int = 1
    """Micro-batches an update: the same batch in less memory."""
    pair_rounds: int | None = None
    """Train a flow on so many degradations an image, computed and encoded beforehand: for a degradation that is fixed,
    or an encoder that costs more than the flow. 0: fresh ones at every step. The recipe's own number when not given."""
    pairs: Path | None = None
    """Folder that keeps these pairs on the disk, for sets that memory does not hold and for other runs."""
    show: bool = False
    """Print the whole configuration as JSON and stop."""


def launch(recipe: Callable[[Scale], Stage], description: str | None) -> None:
    """Parse the command line, train what the recipe describes, print the folder of the finished model."""
    arguments = tyro.cli(Arguments, description=description)
    with one_line_errors(recipe.__name__):
        stage = chosen(arguments, recipe(arguments.scale))
        if arguments.show:
            print(json.dumps(essence(stage), indent=2))
            return
        place = replace(arguments.place(), pair_folder=arguments.pairs)
        trained(stage, place)
        conclude(place.folder(stage), arguments.device)


def set_up_process(threads: int | None) -> None:
    """Before anything is trained: the number of threads, and freed memory kept."""
    keep_freed_memory()
    if threads is not None:
        torch.set_num_threads(threads)


def conclude(result: object, device: str | None) -> None:
    """Print the result, once however many processes there are, and leave their group."""
    if world_size() == 1:
        print(result)
        return
    everyone = processes(device)
    if everyone.is_main_process:
        print(result)
    everyone.destroy_process_group()


def chosen(arguments: Arguments, stage: Any) -> Any:
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
    changes: dict[str, Any] = {"accumulate": arguments.accumulate}
    if arguments.precision is not None:
        changes["precision"] = arguments.precision
    return replace(stage, train=dataclasses.replace(stage.train, **changes))


@contextmanager
def one_line_errors(name: str) -> Iterator[None]:
    """What a user can mend ends the program with one line; Ctrl-C with status 130."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        sys.exit(f"{name}: {error}")
