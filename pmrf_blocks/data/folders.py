"""Folders of images as a dataset of uint8 tensors, cropped and flipped reproducibly."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from pmrf_blocks.data.errors import DataError
from pmrf_blocks.data.framing import Framing
from pmrf_blocks.images import MAX_PIXELS, ImageError, describe_image, find_pictures, open_eight_bits, shown

READERS = 8  # threads that look at the heads of files
TRANSPARENT = "its transparency is left out"
LOGGER = logging.getLogger(__name__)


class SampleKey(NamedTuple):
    """Which image, and the seed of its random crop and flip.

    Examples:
        >>> from PIL import Image
        >>> image = MapImages([Image.linear_gradient("L")], crop=8)
        >>> one, other = image[SampleKey(0, seed=1)], image[SampleKey(0, seed=2)]
        >>> torch.equal(one, other), torch.equal(one, image[SampleKey(0, seed=1)])  # the seed alone decides the crop
        (False, True)
    """

    image: int
    seed: int


def find_images(*folders: str | Path, recursive: bool = True) -> list[Path]:
    """All pictures in the folders, sorted; DataError where a folder is missing or holds none.

    With `recursive` those of the folders inside are taken too; linked folders are followed once. Hidden files are
    never taken. What else is passed over is logged in one line a folder. A .txt file instead of a folder lists images,
    one a line, relative to its own place; their order is kept.

    Examples:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("b.png", "a.jpg"):
        ...         Image.new("RGB", (8, 8)).save(f"{folder}/{name}")
        ...     [path.name for path in find_images(folder)]
        ['a.jpg', 'b.png']
    """
    paths: list[Path] = []
    for folder in map(Path, folders):
        if folder.suffix == ".txt" and folder.is_file():
            paths += _listed(folder)
            continue
        if not folder.is_dir():
            raise DataError(f"no such folder: {shown(folder)}")
        try:
            found = find_pictures(folder, recursive=recursive)
        except ImageError as error:
            raise DataError(str(error)) from None
        if found.line():
            LOGGER.warning("passed over in %s: %s", shown(folder), found.line())
        if found.problems:
            path, reason = found.problems[0]
            more = f" (and {len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
            raise DataError(f"{shown(path)}: {reason}{more}")
        if not found.paths:
            raise DataError(f"0 images in {shown(folder)}")
        paths += found.paths
    return paths


def _listed(path: Path) -> list[Path]:
    # Names may hold any bytes, which surrogateescape keeps.
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    images = [path.parent / line.strip() for line in lines if line.strip()]
    missing = [image for image in images if not image.is_file()]
    if missing or not images:
        first = f", {shown(missing[0])} first" if missing else ""
        raise DataError(f"{len(images)} images are listed in {shown(path)}, {len(missing)} are not there{first}")
    return images


class ImageDataset(Dataset[Tensor]):
    """Images as uint8 RGB tensors (3, H, W).

    Arguments:
        paths: image files, as find_images() lists them.
        size: the shorter side is brought to this many pixels (Lanczos, antialiased); None keeps the size.
        crop: side of the random square crop; None takes the centre square of the shorter side.
        flip: mirror half of the samples left to right; off unless asked for, as only training wants it.
        keep: hold decoded images in memory after their first use.
        max_pixels, strict: as of open_image(); also the limit on what an image is resized to.

    Items are addressed by SampleKey(image, seed), so that crop and flip are functions of the seed alone, in any
    worker process; a plain index is read with seed 0.

    Examples:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (60, 40), (255, 0, 0)).save(f"{folder}/a.png")
        ...     image = ImageDataset(find_images(folder), size=32)[0]  # the centre square
        >>> image.shape, image.dtype, image[:, 0, 0].tolist()
        (torch.Size([3, 32, 32]), torch.uint8, [255, 0, 0])
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        size: int | None = None,
        crop: int | None = None,
        flip: bool = False,
        keep: bool = False,
        max_pixels: int = MAX_PIXELS,
        strict: bool = False,
    ) -> None:
        if not paths:
            raise DataError("0 images: the list of paths is empty")
        self.framing = Framing(size, crop, flip, max_pixels)
        self.paths, self.keep, self.max_pixels, self.strict = list(paths), keep, max_pixels, strict
        self.decoded: dict[int, np.ndarray] = {}
        self.told: set[int] = set()

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def where(self) -> str:
        """The folder that holds all images."""
        return os.path.commonpath([path.parent for path in self.paths])

    def identity(self) -> dict[str, Any]:
        """What tells this set from another, wherever it lies: names below the common folder, and how they are read."""
        root = os.path.commonpath([path.parent for path in self.paths])
        names = "\n".join(os.path.relpath(path, root) for path in self.paths)
        digest = hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()[:16]
        return {"names": digest, **self.framing.identity()}

    def problems(self, indices: Iterable[int], *, batched: bool = True) -> list[tuple[Path, str]]:
        """Images that cannot be used, each with the reason, judged by the heads of the files (damage further in
        shows when they are decoded): unreadable, smaller than the crop, or, as they go into batches, of another
        size than the first."""
        indices = list(indices)
        paths = [self.paths[index] for index in indices]
        with ThreadPoolExecutor(READERS) as threads:
            found = list(threads.map(self._problem, indices))
        bad = [(path, reason) for path, (reason, _) in zip(paths, found) if reason]
        if batched and self.framing.varies and not bad:
            sides = [side for _, side in found]
            bad = [(path, f"its square is {side} pixels wide, that of {paths[0]} {sides[0]}; set size or crop")
                   for path, side in zip(paths, sides) if side != sides[0]]  # fmt: skip
        return bad

    def head(self, index: int) -> Path | BinaryIO:
        """What the size of image `index` can be read from."""
        return self.open(index)

    def _problem(self, index: int) -> tuple[str, int]:
        try:
            head = describe_image(self.head(index), max_pixels=self.max_pixels)
        except ImageError as error:
            return f"cannot be read: {error}", 0
        return self.framing.misfit(head.width, head.height), min(head.width, head.height)

    def open(self, index: int) -> Path | BinaryIO:
        """What image `index` is read from."""
        return self.paths[index]

    def read(self, index: int) -> np.ndarray:
        """Image `index` at the working size, uint8 (H, W, 3), not cropped."""
        if index in self.decoded:
            return self.decoded[index]
        path = shown(self.paths[index])
        try:
            pixels, alpha = open_eight_bits(
                self.open(index),
                max_pixels=self.max_pixels,
                strict=self.strict,
                tell=lambda text: self._tell(index, text),
            )
        except ImageError as error:
            raise DataError(f"cannot read {path}: {error}") from None
        if alpha is not None and alpha.min() < 255:
            self._tell(index, TRANSPARENT)
        try:
            pixels = self.framing.resize(pixels)
        except DataError as error:
            raise DataError(f"{path} {error}") from None
        if self.keep:
            self.decoded[index] = pixels
        return pixels

    def _tell(self, index: int, text: str) -> None:
        """Log what was assumed of an image, once in each process."""
        if index not in self.told:
            LOGGER.warning("%s: %s", shown(self.paths[index]), text)

    def __getitem__(self, key: int | SampleKey) -> Tensor:
        index, seed = key if isinstance(key, tuple) else (key, 0)
        pixels = self.read(index)
        self.told.add(index)
        return self.framing.cut(pixels, seed)


class JoinedDataset(Dataset[Tensor]):
    """Several sets (ImageDataset, MapImages) as one, addressed like each of them.

    Examples:
        >>> from PIL import Image
        >>> one = MapImages([Image.new("RGB", (8, 8))], size=8)
        >>> len(JoinedDataset(one, one))
        2
    """

    def __init__(self, *parts: Any) -> None:
        if not parts:
            raise DataError("0 datasets to join")
        self.parts = parts
        self.starts = np.cumsum([0, *map(len, parts)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def where(self) -> str:
        """The folders of all parts."""
        return ", ".join(part.where for part in self.parts)

    def identity(self) -> dict[str, Any]:
        """Those of the parts."""
        return {f"part {number}": part.identity() for number, part in enumerate(self.parts)}

    def problems(self, indices: Iterable[int], *, batched: bool = True) -> list[tuple[Any, str]]:
        """Those of the parts."""
        indices = np.asarray(list(indices))
        bad = []
        for part, first, end in zip(self.parts, self.starts, self.starts[1:]):
            bad += part.problems((indices[(indices >= first) & (indices < end)] - first).tolist(), batched=batched)
        return bad

    def __getitem__(self, key: int | SampleKey) -> Tensor:
        index, seed = key if isinstance(key, tuple) else (key, 0)
        part = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.parts[part][SampleKey(index - int(self.starts[part]), seed)]
