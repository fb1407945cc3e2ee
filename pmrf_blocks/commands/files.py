"""Pictures through a command one after another, or in batches: one that fails costs one line, not the run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from tqdm import tqdm

from pmrf_blocks.commands.targets import Plan
from pmrf_blocks.images import MAX_PIXELS, ImageError, LoadedImage, open_image, shown

Result = TypeVar("Result")
# What a photograph may end with that is its own affair; memory that is not there is a RuntimeError in torch.
FAILURES = (ValueError, RuntimeError, MemoryError, OSError)
NO_MEMORY = "does not fit the memory"
SIGNS_OF_NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "defaultcpuallocator")


@dataclass(frozen=True)
class Job:
    """A photograph and where its results go; `target` is the first of `targets`."""

    photograph: LoadedImage
    path: Path
    targets: tuple[Path, ...]

    @property
    def target(self) -> Path:
        return self.targets[0]


def for_each(
    files: Plan,
    bar: tqdm,
    units: int,
    make: Callable[[list[Job]], list[Result]],
    write: Callable[[Job, Result], None],
    *,
    batch: int = 1,
    alike: Callable[[LoadedImage], Hashable] = lambda photograph: None,
    max_pixels: int = MAX_PIXELS,
    strict: bool = False,
    line: Callable[[int, Job, Result], str] = lambda number, job, result: shown(job.target),
    failed: Callable[[Path, str], None] = lambda path, reason: None,
) -> int:
    """Read each file, make(jobs) its result and write(job, result); one line for each that is skipped; how many were.

    The name of each result goes to stdout, what was assumed of a file to stderr. `units` is what one photograph counts
    on the bar; `make` may advance it by less, the rest is added here. Up to `batch` photographs that come after one
    another and for which `alike` is equal are made in one call; where it fails each half has a call of its own, and
    in the end each photograph. `line(number, job, result)` is what stdout says of a result, its target if not told;
    `failed(path, reason)` is called for each that was skipped.
    """
    skipped = 0
    waiting: list[Job] = []

    def say(path: Path, text: str) -> None:
        bar.write(f"{shown(path)}: {text}", file=sys.stderr)

    def skip(path: Path, reason: str) -> None:
        nonlocal skipped
        skipped += 1
        bar.write(f"skipped {shown(path)}: {reason}", file=sys.stderr)
        failed(path, reason)

    def finish(jobs: list[Job], done: int) -> None:
        try:
            results, failure = make(jobs), ""
        except FAILURES as error:
            results, failure = [], in_one_line(error)
        # Tried again out of the handler: the error holds on to all that was computed so far.
        if failure and len(jobs) > 1:
            free_memory()
            half = len(jobs) // 2
            finish(jobs[:half], done - len(jobs) + half)
            finish(jobs[half:], done)
        elif failure:
            skip(jobs[0].path, failure)
        for number, (job, result) in enumerate(zip(jobs, results), done - len(jobs) + 1):
            try:
                write(job, result)
            except FAILURES as error:
                skip(job.path, in_one_line(error))
            else:
                bar.write(line(number, job, result), file=sys.stdout)
        bar.update(done * units - bar.n)

    for text in files.lines:
        bar.write(text, file=sys.stderr)
    for number, item in enumerate(files.items, 1):
        try:
            if item.refused:
                raise ImageError(item.refused)
            photograph = open_image(item.path, max_pixels=max_pixels, strict=strict)
            kind = alike(photograph)
        except FAILURES as error:
            skip(item.path, in_one_line(error))
        else:
            for text in (*photograph.notes, *photograph.damage):
                say(item.path, text)
            if waiting and alike(waiting[0].photograph) != kind:
                finish(waiting, number - 1)
                waiting = []
            waiting.append(Job(photograph, item.path, item.targets))
        if len(waiting) == batch:
            finish(waiting, number)
            waiting = []
    if waiting:
        finish(waiting, len(files.items))
    bar.update(len(files.items) * units - bar.n)
    return skipped


def in_one_line(error: BaseException) -> str:
    """The reason that an error gives, without line breaks; what is missing where it is memory."""
    text = " ".join(str(error).split())
    if is_lack_of_memory(error) and not text.startswith(NO_MEMORY):
        first = text.split(". ")[0]
        return f"{NO_MEMORY} ({first})" if first else NO_MEMORY
    return text or type(error).__name__


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is missing, as Python, torch's allocators and CUDA say it."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in SIGNS_OF_NO_MEMORY)


def free_memory() -> None:
    """Hand back what CUDA's allocator keeps, so that a smaller batch finds it."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
