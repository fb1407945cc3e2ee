"""Making training images out of downloaded ones: file by file, in several processes, resumable."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageOps

from pmrf_blocks.data.folders import DataError
from pmrf_blocks.data.patches import patch_corners


@dataclass(frozen=True)
class Outcome:
    """What became of one file: results by name (relative to the output), written now or there already, and why it
    gave none or not all."""

    written: tuple[str, ...] = ()
    there: tuple[str, ...] = ()
    problem: str | None = None


Work = Callable[[Path], Outcome]


@dataclass(frozen=True)
class Shrink:
    """Copies an image below `root` to the same place below `output`; with `size`, as .png whose shorter side is that.

    Resized by Lanczos over the whole support, so without aliasing. One that is smaller than `size`, or, if `square`
    is asked for, not square, is a problem: nothing is enlarged. A file that needs no change is copied as it is.
    """

    root: Path
    output: Path
    size: int | None = None
    square: bool = False

    def target(self, path: Path) -> Path:
        target = self.output / path.relative_to(self.root)
        return target if self.size is None else target.with_suffix(".png")

    def __call__(self, path: Path) -> Outcome:
        target = self.target(path)
        name = target.relative_to(self.output).as_posix()
        if target.exists():
            return Outcome(there=(name,))
        image = decode(path)
        width, height = image.size
        if self.square and width != height:
            return Outcome(problem=f"is {width}x{height}, not square")
        if self.size is None or (min(image.size) == self.size and path.suffix.lower() == ".png"):
            write_whole(target, lambda temporary: shutil.copyfile(path, temporary))
            return Outcome(written=(name,))
        if min(image.size) < self.size:
            return Outcome(problem=f"is {width}x{height}, smaller than {self.size}")
        scale = self.size / min(image.size)
        shape = (max(self.size, round(width * scale)), max(self.size, round(height * scale)))
        write_png(image.resize(shape, Image.Resampling.LANCZOS) if scale != 1 else image, target)
        return Outcome(written=(name,))


@dataclass(frozen=True)
class Cut:
    """Cuts an image below `root` into patches of `size` pixels, `stride` apart: PLACE/NAME_TOP_LEFT.png.

    `scores` by name, of what is known so far: a patch with less than `least` is left out.
    """

    root: Path
    output: Path
    size: int
    stride: int
    scores: Mapping[str, float] = field(default_factory=dict)
    least: float | None = None

    def __call__(self, path: Path) -> Outcome:
        width, height = size_of(path)
        corners = patch_corners(width, height, self.size, self.stride)
        if not corners:
            return Outcome(problem=f"is {width}x{height}, smaller than the patches of {self.size}")
        stem = path.relative_to(self.root).with_suffix("").as_posix()
        named = {f"{stem}_{top}_{left}.png": (left, top) for left, top in corners}
        wanted = [name for name in named if self.least is None or self.scores.get(name, self.least) >= self.least]
        there = tuple(name for name in wanted if (self.output / name).exists())
        missing = tuple(name for name in wanted if name not in there)
        if missing:
            image = decode(path)
            for name in missing:
                left, top = named[name]
                write_png(image.crop((left, top, left + self.size, top + self.size)), self.output / name)
        return Outcome(missing, there)


@dataclass
class Tally:
    """Counts of a whole set, and the files with problems."""

    written: int = 0
    there: int = 0
    problems: list[tuple[Path, str]] = field(default_factory=list)

    def add(self, path: Path, outcome: Outcome) -> None:
        self.written += len(outcome.written)
        self.there += len(outcome.there)
        if outcome.problem is not None:
            self.problems.append((path, outcome.problem))


def prepare(paths: Sequence[Path], work: Work, *, workers: int = 1) -> Iterator[tuple[Path, Outcome]]:
    """Each path with its outcome, in order, from `workers` processes; one (or 0) works in this process.

    Only a few files are worked on ahead of what the caller has taken.
    """
    if workers <= 1:
        yield from ((path, guarded(work, path)) for path in paths)
        return
    with ProcessPoolExecutor(workers, initializer=_begin, initargs=(work,)) as pool:
        rest = iter(paths)
        while some := list(itertools.islice(rest, 8 * workers)):
            yield from zip(some, pool.map(_do, some))


def guarded(work: Work, path: Path) -> Outcome:
    """The outcome of work(path); an image that cannot be read is a problem of its own, a full disk ends everything."""
    try:
        return work(path)
    except DataError as error:
        return Outcome(problem=str(error))


def decode(path: Path) -> Image.Image:
    """RGB image, upright and decoded in full; DataError gives the reason where that cannot be done."""
    try:
        with Image.open(path) as file:
            file.load()
            return ImageOps.exif_transpose(file).convert("RGB")
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files
        raise DataError(f"cannot be read: {error}") from None


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) upright, by the head of the file; DataError where it cannot be read."""
    try:
        with Image.open(path) as file:
            turned = file.getexif().get(0x0112, 1) >= 5  # orientations 5 to 8 lie on their side
            return (file.height, file.width) if turned else file.size
    except Exception as error:
        raise DataError(f"cannot be read: {error}") from None


def write_png(image: Image.Image, target: Path) -> None:
    write_whole(target, lambda temporary: image.save(temporary, "PNG"))


def write_whole(target: Path, write: Callable[[Path], object]) -> None:
    """Whole or not there: under a temporary name first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


_work: Work | None = None


def _begin(work: Work) -> None:
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair


def _do(path: Path) -> Outcome:
    assert _work is not None
    return guarded(_work, path)
