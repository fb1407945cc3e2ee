"""Making training images out of downloaded ones: file by file, in several processes, resumable."""

from __future__ import annotations

import errno
import itertools
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from pmrf_blocks.data.errors import DataError
from pmrf_blocks.data.folders import TRANSPARENT
from pmrf_blocks.data.patches import patch_corners
from pmrf_blocks.images import (
    MAX_PIXELS,
    ImageError,
    describe_image,
    open_eight_bits,
    within_limit,
    without_suffix,
    write_whole,
)


@dataclass(frozen=True)
class Outcome:
    """What became of one file: results by name (relative to the output), written now or there already, and why it
    gave none or not all. `notes` is what was assumed when it was read."""

    written: tuple[str, ...] = ()
    there: tuple[str, ...] = ()
    problem: str | None = None
    notes: tuple[str, ...] = ()


Work = Callable[[Path], Outcome]


@dataclass(frozen=True)
class Shrink:
    """Copies an image below `root` to the same place below `output`; with `size`, as .png whose shorter side is that.

    Resized by Lanczos over the whole support, so without aliasing. One that is smaller than `size`, or, if `square`
    is asked for, not square, is a problem: nothing is enlarged. A file that needs no change is copied as it is.
    `max_pixels` and `strict` are those of open_image().
    """

    root: Path
    output: Path
    size: int | None = None
    square: bool = False
    max_pixels: int = MAX_PIXELS
    strict: bool = False

    def target(self, path: Path) -> Path:
        target = self.output / path.relative_to(self.root)
        return target if self.size is None else target.with_name(within_limit(without_suffix(target.name), ".png"))

    def __call__(self, path: Path) -> Outcome:
        target = self.target(path)
        name = target.relative_to(self.output).as_posix()
        if target.exists():
            return Outcome(there=(name,))
        notes: list[str] = []
        image = decode(path, max_pixels=self.max_pixels, strict=self.strict, tell=notes.append)
        width, height = image.size
        if self.square and width != height:
            return Outcome(problem=f"is {width}x{height}, not square")
        if self.size is None or (min(image.size) == self.size and path.suffix.lower() == ".png"):
            write_whole(target, lambda temporary: shutil.copyfile(path, temporary))
            return Outcome(written=(name,), notes=tuple(notes))
        if min(image.size) < self.size:
            return Outcome(problem=f"is {width}x{height}, smaller than {self.size}")
        scale = self.size / min(image.size)
        shape = (max(self.size, round(width * scale)), max(self.size, round(height * scale)))
        if shape[0] * shape[1] > self.max_pixels:
            return Outcome(problem=f"would be {shape[0]}x{shape[1]}, more than {self.max_pixels:,} pixels")
        write_png(image.resize(shape, Image.Resampling.LANCZOS) if scale != 1 else image, target)
        return Outcome(written=(name,), notes=tuple(notes))


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
    max_pixels: int = MAX_PIXELS
    strict: bool = False

    def target(self, path: Path) -> Path:
        """Where results lie, before the place of the patch is added to the name."""
        return self.output / without_suffix(path.relative_to(self.root).as_posix())

    def __call__(self, path: Path) -> Outcome:
        width, height = size_of(path, max_pixels=self.max_pixels)
        corners = patch_corners(width, height, self.size, self.stride)
        if not corners:
            return Outcome(problem=f"is {width}x{height}, smaller than the patches of {self.size}")
        stem = self.target(path).relative_to(self.output).as_posix()
        named = {f"{stem}_{top}_{left}.png": (left, top) for left, top in corners}
        wanted = [name for name in named if self.least is None or self.scores.get(name, self.least) >= self.least]
        there = tuple(name for name in wanted if (self.output / name).exists())
        missing = tuple(name for name in wanted if name not in there)
        notes: list[str] = []
        if missing:
            image = decode(path, max_pixels=self.max_pixels, strict=self.strict, tell=notes.append)
            for name in missing:
                left, top = named[name]
                write_png(image.crop((left, top, left + self.size, top + self.size)), self.output / name)
        return Outcome(missing, there, notes=tuple(notes))


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
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return Outcome(problem="its name is too long to be that of its result")
        raise


def decode(
    path: Path,
    *,
    max_pixels: int = MAX_PIXELS,
    strict: bool = False,
    tell: Callable[[str], object] = lambda text: None,
) -> Image.Image:
    """RGB picture, upright and in sRGB; DataError gives the reason where there is none.

    `tell` hears what was assumed.
    """
    try:
        pixels, alpha = open_eight_bits(path, max_pixels=max_pixels, strict=strict, tell=tell)
    except ImageError as error:
        raise DataError(f"cannot be read: {error}") from None
    if alpha is not None and alpha.min() < 255:
        tell(TRANSPARENT)
    return Image.fromarray(pixels)


def size_of(path: Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(width, height) upright, by the head of the file; DataError where it cannot be read."""
    try:
        head = describe_image(path, max_pixels=max_pixels)
    except ImageError as error:
        raise DataError(f"cannot be read: {error}") from None
    return head.width, head.height


def write_png(image: Image.Image, target: Path) -> None:
    write_whole(target, lambda temporary: image.save(temporary, "PNG"))


_work: Work | None = None


def _begin(work: Work) -> None:
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair


def _do(path: Path) -> Outcome:
    assert _work is not None
    return guarded(_work, path)
