"""Faces cut out of photographs, without those that a set of aligned faces shows already; and whole photographs of
faces that are held out, to measure on.

    pmrf-blocks prepare faces DIR/photos --output cut --size 134
    python -m docs.make.apart --cut cut --held-out DIR/faces256/val --known DIR/faces256/train --output DIR/photo-faces
    python -m docs.make.apart --cut cut --held-out DIR/faces256/val --known DIR/faces256/train \
        --photographs DIR/photos --output held-out-photos

The photographs of a data set may be those that its aligned faces were cut out of. A face that is held out must not be
trained on by its photograph, and one that is trained on gains nothing by a blurred copy. Two crops are alike where the
colours of their middles correlate, at the best of small shifts and sizes. The limits were set by looking at pairs:
below 0.78 none was of one picture, above 0.93 all were.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from pmrf_blocks.data import find_images
from pmrf_blocks.images import open_eight_bits
from pmrf_blocks.training.frame import one_line_errors

SIDE, MIDDLE, SHIFT = 20, 0.35, 0.03  # of a view in pixels; half of its width, and one step, of the crop's width
SIZES = (0.88, 0.94, 1.0, 1.06, 1.12)


@dataclass(frozen=True)
class Arguments:
    cut: Path
    """Faces out of photographs, named PHOTO_NUMBER, as pmrf-blocks prepare faces writes them."""
    held_out: Path
    """Aligned faces that are never trained on."""
    known: Path
    """Aligned faces that are trained on anyway."""
    output: Path
    """Where the others go; with --photographs, the photographs."""
    photographs: Path | None = None
    """What the faces were cut out of: take whole photographs of faces that are held out, and of no known one."""
    alike: float = 0.78
    """Correlation from which on a face may be one of --held-out: left out, with all faces of its photograph."""
    same: float = 0.93
    """Correlation from which on a face is one of --known, and a photograph is one of a face of --held-out."""


def views(path: Path, steps: int, sizes: tuple[float, ...]) -> Iterator[np.ndarray]:
    """The middle of a crop at shifts of up to `steps` steps and several sizes: unit vectors."""
    image = Image.fromarray(open_eight_bits(path)[0])
    width = image.width
    for size, across, down in itertools.product(sizes, *[range(-steps, steps + 1)] * 2):
        x, y, half = width * (0.5 + SHIFT * across), width * (0.5 + SHIFT * down), MIDDLE * width * size
        box = (max(0, x - half), max(0, y - half), min(width, x + half), min(width, y + half))
        pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX, box=box), np.float32).ravel()
        yield (pixels - pixels.mean()) / max(float(np.linalg.norm(pixels - pixels.mean())), 1e-6)


def likeness(faces: np.ndarray, others: list[Path], steps: int, sizes: tuple[float, ...]) -> np.ndarray:
    """Of each face (N, D), its highest correlation with any view of any of the others: (N,) in [-1, 1]."""
    best = np.full(len(faces), -1.0, np.float32)
    for other in others:
        best = np.maximum(best, (faces @ np.stack(list(views(other, steps, sizes))).T).max(1))
    return best


def main(arguments: Arguments) -> str:
    paths = find_images(arguments.cut)
    faces = np.concatenate([list(views(path, 0, (1.0,))) for path in paths])
    held_out = likeness(faces, find_images(arguments.held_out), 3, SIZES)
    known = likeness(faces, find_images(arguments.known), 1, SIZES[1:4])
    arguments.output.mkdir(parents=True, exist_ok=True)

    def where(values: np.ndarray, limit: float) -> set[str]:
        """The photographs with a face above the limit."""
        return {path.stem.rpartition("_")[0] for path, value in zip(paths, values) if value > limit}

    if arguments.photographs is not None:
        names = where(held_out, arguments.same) - where(known, arguments.alike)
        for path in find_images(arguments.photographs):
            if path.stem in names:
                shutil.copy2(path, arguments.output / path.name)
        return f"{arguments.output}: {len(names)} photographs of faces that are held out"
    shown = where(held_out, arguments.alike)
    left = [
        path
        for path, value in zip(paths, known)
        if value <= arguments.same and path.stem.rpartition("_")[0] not in shown
    ]
    for path in left:
        shutil.copy2(path, arguments.output / path.name)
    alike, same = int((held_out > arguments.alike).sum()), int((known > arguments.same).sum())
    return f"{arguments.output}: {len(left)} of {len(paths)} faces; {alike} may be held out, {same} are known"


if __name__ == "__main__":
    with one_line_errors("apart"):
        print(main(tyro.cli(Arguments, description=__doc__)))
