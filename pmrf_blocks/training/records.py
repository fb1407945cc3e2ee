"""What a run writes about itself into its folder.

config.json           settings, the whole recipe, git revision, versions, machine
log.txt               what happened, line by line, with the time
stats.jsonl           numbers by step: losses, learning rate, images/s, memory, validation scores
validation/STEP.png   pictures of the validation
tensorboard/          the same numbers and pictures for TensorBoard (or where another tracker keeps them)
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

GIB = 2**30


class Records:
    """The record of one run; on processes other than the main one (`active` False) every method does nothing."""

    def __init__(self, folder: Path, *, active: bool) -> None:
        self.folder, self.active, self.trackers = folder, active, list[Any]()
        if active:
            folder.mkdir(parents=True, exist_ok=True)

    def rewind(self, step: int) -> None:
        """Forget numbers of steps after `step`: a run that was killed does them again. So does a torn last line."""
        path = self.folder / "stats.jsonl"
        if not self.active or not path.exists():
            return
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for line in lines if _step(line) <= step]
        if kept != lines:
            write_whole(path, "".join(kept))

    def configuration(self, whole: Mapping[str, Any]) -> None:
        """Write config.json; note in the log which settings differ from those the run had before."""
        if not self.active:
            return
        path = self.folder / "config.json"
        text = json.dumps(whole, indent=2, default=str) + "\n"
        if path.exists():
            before, now = _settings(json.loads(path.read_text())), _settings(json.loads(text))
            for name in now:
                if before.get(name, now[name]) != now[name]:
                    self.note(f"{name} was {before[name]} and is {now[name]} from here on")
        write_whole(path, text)

    def track(self, accelerator: Any, step: int, whole: Mapping[str, Any]) -> None:
        """Start the accelerator's trackers; what they hold of steps after `step` is hidden."""
        arguments = {
            "tensorboard": {"purge_step": step + 1} if step else {},
            "wandb": {"name": self.folder.name, "dir": str(self.folder), "config": dict(whole)},
        }
        accelerator.init_trackers(self.folder.name, init_kwargs=arguments)
        self.trackers = list(accelerator.trackers) if self.active else []

    def note(self, text: str) -> None:
        """One line in the log and on stderr."""
        if self.active:
            tqdm.write(text, file=sys.stderr)
            with open(self.folder / "log.txt", "a") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def numbers(self, step: int, images: int, values: Mapping[str, float | int]) -> None:
        """One line of stats.jsonl."""
        if not self.active:
            return
        with open(self.folder / "stats.jsonl", "a") as file:
            file.write(json.dumps({"step": step, "images": images, **values}) + "\n")
        for tracker in self.trackers:
            tracker.log(dict(values), step=step)

    def picture(self, step: int, image: Image.Image) -> None:
        """validation/STEP.png."""
        if not self.active:
            return
        path = self.folder / "validation" / f"step-{step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(".tmp")
        image.save(temporary, "PNG")
        os.replace(temporary, path)
        for tracker in self.trackers:
            if tracker.name == "tensorboard":
                tracker.log_images({"validation": np.asarray(image)[None]}, step=step, dataformats="NHWC")
            elif tracker.name == "wandb":
                tracker.log_images({"validation": [image]}, step=step)

    def close(self) -> None:
        for tracker in self.trackers:
            tracker.finish()


def _step(line: str) -> float:
    """Step of a line of stats.jsonl; infinity of one that is not whole."""
    try:
        return json.loads(line)["step"] if line.endswith("\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf


def _settings(whole: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the numbers of a run: its settings and how many processes there are."""
    return {**whole.get("train", {}), "processes": whole.get("environment", {}).get("processes")}


class Meter:
    """Means of the values of each step since the last line of the log; part of a checkpoint, so that a resumed run
    logs what an uninterrupted one does."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.steps, self.seconds = 0, 0.0

    def add(self, values: Mapping[str, float], seconds: float) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.steps, self.seconds = self.steps + 1, self.seconds + seconds

    def means(self) -> dict[str, float]:
        return {name: total / self.steps for name, total in self.sums.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self.sums), "steps": self.steps, "seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.sums, self.steps, self.seconds = dict(state["sums"]), state["steps"], state["seconds"]


def check_trackers(names: Sequence[str]) -> None:
    """ValueError for a tracker that accelerate does not know, ImportError for one whose package is not installed."""
    from accelerate.tracking import get_available_trackers
    from accelerate.utils import LoggerType

    known = [name for name in LoggerType.list() if name != "all"]
    available = [str(name) for name in get_available_trackers()]
    for name in names:
        if name not in known:
            raise ValueError(f"tracker must be one of {', '.join(map(repr, known))}; got {name!r}")
        if name not in available:
            raise ImportError(f"the tracker {name!r} needs: pip install {name.replace('_', '-')}; or train with others")


def memory_gib(device: torch.device) -> float:
    """Most memory that tensors have taken on a CUDA device, or what this process holds in memory now, in GiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    import psutil  # a dependency of accelerate

    return psutil.Process().memory_info().rss / GIB


def write_whole(path: Path, text: str) -> None:
    """Replace a text file in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
