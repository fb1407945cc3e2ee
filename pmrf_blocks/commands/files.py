"""Which files a command reads and writes, and the report of those that it had to skip."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from pmrf_blocks.data.folders import IMAGE_SUFFIXES
from pmrf_blocks.data.photographs import Photograph, PhotographError, output_name, read_photograph


class ArgumentError(ValueError):
    """Arguments that make no sense together: exit status 2."""


@dataclass(frozen=True)
class Files:
    """Input files in order, and where results go: a folder, or one file name."""

    paths: list[Path]
    output: Path
    single: bool
    overwrite: bool

    def target(self, path: Path, photograph: Photograph) -> Path:
        """Where the result for `path` goes; PhotographError where nothing may be written there."""
        if self.single:
            target = self.output
            if photograph.alpha is not None and output_name(target, transparent=True) != target.name:
                raise PhotographError(f"{target.suffix} cannot hold its transparency; name the output .png")
        else:
            target = self.output / output_name(path, transparent=photograph.alpha is not None)
        if target.exists() and target.resolve() == path.resolve():
            raise PhotographError("the result would replace the input; choose another --output")
        self.check(target)
        return target

    def check(self, target: Path) -> None:
        if target.is_dir():
            raise PhotographError(f"{target} is a directory")
        if target.exists() and not self.overwrite:
            raise PhotographError(f"{target} exists (--overwrite replaces it)")


def collect(inputs: Sequence[Path], output: Path, *, overwrite: bool) -> Files:
    """Files named by the arguments; ArgumentError where an input is missing or there is nothing to do."""
    paths: list[Path] = []
    for path in inputs:
        if path.is_dir() and path.suffix.lower() not in IMAGE_SUFFIXES:
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
            if not found:
                raise ArgumentError(f"no images in {path} (suffixes looked for: {', '.join(sorted(IMAGE_SUFFIXES))})")
            paths += found
        elif not path.exists():
            raise ArgumentError(f"no such file or folder: {path}")
        else:
            paths.append(path)
    single = output.suffix.lower() in IMAGE_SUFFIXES and not output.is_dir()
    if single and len(paths) != 1:
        raise ArgumentError(f"--output {output} names one file, but there are {len(paths)} photographs; name a folder")
    if single and output_name(output) != output.name:
        raise ArgumentError(f"--output {output}: cannot write {output.suffix}")
    if output.exists() and not output.is_dir() and not single:
        raise ArgumentError(f"--output {output} is a file, not a folder")
    return Files(paths, output, single, overwrite)


def check_outputs(paths: list[Path], suffixes: tuple[str, ...], *, overwrite: bool) -> list[Path]:
    """The files to write; ArgumentError for one that is of no known kind or must not be replaced."""
    for path in paths:
        if path.suffix.lower() not in suffixes:
            raise ArgumentError(f"--output {path}: the suffix must be one of {', '.join(suffixes)}")
        if path.is_dir():
            raise ArgumentError(f"--output {path} is a directory")
        if path.exists() and not overwrite:
            raise ArgumentError(f"{path} exists (--overwrite replaces it)")
    return paths


Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """A photograph and where its result goes."""

    photograph: Photograph
    path: Path
    target: Path


def for_each(
    files: Files,
    bar: tqdm,
    units: int,
    make: Callable[[list[Job]], list[Result]],
    write: Callable[[Job, Result], None],
    *,
    batch: int = 1,
    alike: Callable[[Photograph], Hashable] = lambda photograph: None,
) -> int:
    """Read each file, make(jobs) its result and write(job, result); one line for each that is skipped; how many were.

    `units` is what one photograph counts on the bar; `make` may advance it by less, the rest is added here. Up to
    `batch` photographs that come after one another and for which `alike` is equal are made in one call; where it
    fails each has a call of its own.
    """
    skipped = 0
    taken: dict[Path, Path] = {}
    waiting: list[Job] = []

    def skip(path: Path, error: Exception) -> None:
        nonlocal skipped
        skipped += 1
        bar.write(f"skipped {path}: {error}", file=sys.stderr)

    def drop(job: Job, error: Exception) -> None:
        skip(job.path, error)
        taken.pop(job.target)

    def finish(jobs: list[Job], done: int) -> None:
        try:
            results = make(jobs)
        except (PhotographError, ValueError) as error:
            if len(jobs) == 1:
                drop(jobs[0], error)
            else:
                for i, job in enumerate(jobs, 1):
                    finish([job], done - len(jobs) + i)
            results = []
        for job, result in zip(jobs, results):
            try:
                write(job, result)
            except (PhotographError, ValueError) as error:
                drop(job, error)
        bar.update(done * units - bar.n)

    for number, path in enumerate(files.paths, 1):
        try:
            photograph = read_photograph(path)
            target = files.target(path, photograph)
            if target in taken:
                raise PhotographError(f"its result would have the name of that of {taken[target]}: {target.name}")
            kind = alike(photograph)
        except (PhotographError, ValueError) as error:
            skip(path, error)
        else:
            if waiting and alike(waiting[0].photograph) != kind:
                finish(waiting, number - 1)
                waiting = []
            waiting.append(Job(photograph, path, target))
            taken[target] = path
        if len(waiting) == batch:
            finish(waiting, number)
            waiting = []
    if waiting:
        finish(waiting, len(files.paths))
    return skipped
