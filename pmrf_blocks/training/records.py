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
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from pmrf_blocks.json_files import read_json_object
from pmrf_blocks.training.errors import TrainingError
from pmrf_blocks.whole_files import flush, replacing, sweep, to_json, write_json, write_text

GIB = 2**30


class Records:
    """The record of one run; on processes other than the main one (`active` False) every method does nothing."""

    def __init__(self, folder: Path, *, active: bool) -> None:
        self.folder, self.active, self.trackers = folder, active, list[Any]()

    def rewind(self, step: int) -> None:
        """Forget numbers of steps after `step`: a run that was killed does them again. So do torn last lines, and
        files that were being written."""
        if not self.active:
            return
        for folder in (self.folder, self.folder / "validation"):
            sweep(folder)
        path, log = self.folder / "stats.jsonl", self.folder / "log.txt"
        if path.exists():
            lines = path.read_text(errors="replace", encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if _step(line) <= step]
            if kept != lines:
                write_text(path, "".join(kept))
        if log.exists() and not log.read_bytes().endswith(b"\n"):
            self._append(log, "\n")

    def configuration(self, whole: Mapping[str, Any]) -> None:
        """Write config.json; note in the log which settings differ from those the run had before."""
        if not self.active:
            return
        path = self.folder / "config.json"
        try:
            before = _settings(read_json_object(path, TrainingError)) if path.exists() else {}
        except TrainingError as error:  # a side file: the run goes on without it
            self.note(f"{error}; it is written anew")
            before = {}
        now = _settings(json.loads(to_json(whole)))
        for name in now:
            if before.get(name, now[name]) != now[name]:
                self.note(f"{name} was {before[name]} and is {now[name]} from here on")
        write_json(path, whole)

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
            self._append(self.folder / "log.txt", f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def numbers(self, step: int, images: int, values: Mapping[str, float | int]) -> None:
        """One line of stats.jsonl; a value that is not finite is null there."""
        if not self.active:
            return
        self._append(self.folder / "stats.jsonl", to_json({"step": step, "images": images, **values}) + "\n")
        for tracker in self.trackers:
            tracker.log(dict(values), step=step)

    def flush(self) -> None:
        """Bring the numbers to the disk: before a checkpoint, which must not outlive them."""
        if self.active and (self.folder / "stats.jsonl").exists():
            flush(self.folder / "stats.jsonl")

    def _append(self, path: Path, text: str) -> None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)

    def picture(self, step: int, image: Image.Image) -> None:
        """validation/STEP.png."""
        if not self.active:
            return
        with replacing(self.folder / "validation" / f"step-{step:08d}.png") as temporary:
            image.save(temporary, "PNG")
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
        return int(json.loads(line)["step"]) if line.endswith("\n") else math.inf
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return math.inf


def _settings(whole: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the numbers of a run: its settings and how many processes there are; nothing of a foreign file."""
    parts = [whole.get(name) for name in ("train", "environment")]
    train, environment = (part if isinstance(part, dict) else {} for part in parts)
    return {**train, "processes": environment.get("processes")}


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
