"""Which files a command reads and writes, and the report of those that it had to skip."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

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


def for_each(files: Files, bar: tqdm, units: int, work: Callable[[Photograph, Path, Path], None]) -> int:
    """Read each file and call work(photograph, path, target); one line for each that is skipped; how many were.

    `units` is what one photograph counts on the bar; `work` may advance it by less, the rest is added here.
    """
    skipped = 0
    written: dict[Path, Path] = {}
    for number, path in enumerate(files.paths, 1):
        try:
            photograph = read_photograph(path)
            target = files.target(path, photograph)
            if target in written:
                raise PhotographError(f"its result would have the name of that of {written[target]}: {target.name}")
            work(photograph, path, target)
            written[target] = path
        except (PhotographError, ValueError) as error:
            skipped += 1
            bar.write(f"skipped {path}: {error}", file=sys.stderr)
        bar.update(number * units - bar.n)
    return skipped
