"""Which images of a folder are trained on: its own parts say it, or a hash of the images' names, which stays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pmrf_blocks.data.folders import find_images

HELD_OUT = 1 / 16
# Folders that recipes name.
LAYOUT = ("ffhq512", "ffhq256", "lsdir512", "celeba-test", "faces256", "photos", "photo-faces")


def split_by_name(paths: Sequence[Path], held_out: float = HELD_OUT) -> tuple[list[Path], list[Path]]:
    """(training images, held-out images) of `paths`, each in the order given.

    An image is held out where the SHA-256 of its file's name without suffix, read as a number in [0, 1), is below
    `held_out`: whatever else is in the folder, it stays on its side. Where none is, the one with the least is.

    Raises ValueError for fewer than two images, and for a share outside (0, 1).
    """
    if len(paths) < 2 or not 0 < held_out < 1:
        raise ValueError(f"a split needs two images and a share in (0, 1); got {len(paths)} and {held_out}")
    places = [name_hash(path) for path in paths]
    limit = max(held_out, sorted(places)[0] + 1e-12)
    if all(place < limit for place in places):
        raise ValueError(f"no image of {len(paths)} is left to train on; their names are alike: {paths[0].stem}")
    sides: tuple[list[Path], list[Path]] = ([], [])
    for path, place in zip(paths, places):
        sides[place < limit].append(path)
    return sides


def name_hash(path: Path) -> float:
    """A number in [0, 1) that depends on the file's name without suffix alone."""
    return int.from_bytes(hashlib.sha256(path.stem.encode()).digest()[:6], "big") / 2**48


def find_part(root: Path, folder: str, *, held_out: bool) -> list[Path]:
    """The image files of the part of `root` that is called `folder`; DataError where there are none. Names joined by
    a plus sign, 'ffhq256+photo-faces', are parts that are taken together.

    A root that has none of the folders of LAYOUT, nor this one, is taken as it is: its train, for held-out images its
    val (test, where `folder` ends so and there is one); or, without these, all its images by split_by_name().
    """
    if "+" in folder:
        parts = [find_part(root, name, held_out=held_out) for name in folder.split("+")]
        return list(dict.fromkeys(path for part in parts for path in part))
    if any((root / name).exists() for name in (folder, *LAYOUT)) or not root.is_dir():
        return find_images(root / folder)
    if (root / "train").is_dir() and (root / "val").is_dir():
        test = folder.endswith("test") and (root / "test").is_dir()
        return find_images(root / ("train" if not held_out else "test" if test else "val"))
    return split_by_name(find_images(root))[held_out]


def layout_note(root: Path) -> str | None:
    """How a folder without the recipes' own folders is taken, in a sentence; None for one that has some."""
    if not root.is_dir() or any((root / name).exists() for name in LAYOUT):
        return None
    split = "its train and val" if (root / "train").is_dir() else "a part of it held out by file names"
    return f"{root} holds none of {', '.join(LAYOUT)}: all images are from {split}"
