"""Sets of image files that belong together by name, checked before anything is computed, and read in batches."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pmrf_blocks.images import (
    MAX_PIXELS,
    ImageError,
    describe_image,
    find_pictures,
    open_eight_bits,
    shown,
    without_suffix,
)

LISTED = 10
LOGGER = logging.getLogger(__name__)


class ImageSetError(ValueError):
    """Image files that cannot be measured together; the message names them."""


@dataclass(frozen=True)
class Reading:
    """How image files are found and read: with the folders inside; pixels above which a file is refused; whether one
    with something wrong in it is refused though its pixels are there."""

    recursive: bool = False
    max_pixels: int = MAX_PIXELS
    strict: bool = False


DEFAULT = Reading()


def find_set(
    path: str | Path, reading: Reading = DEFAULT, *, tell: Callable[[str], object] | None = None
) -> dict[str, Path]:
    """Pictures of a folder, or one file, by name without suffix, sorted; recursively those of the folders inside
    too, whose names begin with the folder's. `tell` hears in one line what is passed over."""
    path = Path(path)
    if os.path.lexists(path) and not path.is_dir():
        return {shown(without_suffix(path.name)): path}
    if not path.is_dir():
        raise ImageSetError(f"no such file or folder: {shown(path)}")
    try:
        listing = find_pictures(path, recursive=reading.recursive)
    except ImageError as error:
        raise ImageSetError(str(error)) from None
    if tell is not None and listing.line():
        tell(f"passed over in {shown(path)}: {listing.line()}")
    if listing.problems:
        raise ImageSetError("; ".join(f"{shown(file)}: {reason}" for file, reason in listing.problems[:LISTED]))
    found: dict[str, Path] = {}
    for file in listing.paths:
        name = shown(without_suffix(file.relative_to(path).as_posix()))
        if name in found:
            names = f"{shown(found[name].name)} and {shown(file.name)}"
            raise ImageSetError(f"{names} in {shown(path)} have one name; which is meant?")
        found[name] = file
    if not found:
        raise ImageSetError(f"0 images in {shown(path)}")
    return found


def match_sets(first: Mapping[str, Path], second: Mapping[str, Path], label: str) -> None:
    """Error where the two do not have the same names; two single files match whatever their names."""
    if len(first) == len(second) == 1:
        return
    problems = []
    for missing, where in ((first.keys() - second.keys(), label), (second.keys() - first.keys(), "restored images")):
        if missing:
            names = ", ".join(map(shown, sorted(missing)[:LISTED])) + (" ..." if len(missing) > LISTED else "")
            problems.append(f"{len(missing)} without a partner among the {where}: {names}")
    if problems:
        raise ImageSetError(f"{len(first)} restored images and {len(second)} {label}: " + "; ".join(problems))


def inspect(path: Path, reading: Reading = DEFAULT) -> tuple[int, int, bool]:
    """(height, width, whether it is grey) from the header; ImageSetError where the file cannot be measured."""
    try:
        head = describe_image(path, max_pixels=reading.max_pixels)
    except ImageError as error:
        raise ImageSetError(f"cannot read {shown(path)}: {error}") from None
    if head.bit_depth > 8:
        raise ImageSetError(f"{shown(path)} is of more than 8 bits a channel ({head.bit_depth}); 8 bits are measured")
    return head.height, head.width, head.grey


def read(path: Path, reading: Reading = DEFAULT) -> Tensor:
    """Upright uint8 RGB (3, H, W) in sRGB; ImageSetError for a damaged file or one with transparent pixels.

    What had to be assumed is logged.
    """

    def tell(text: str) -> None:
        LOGGER.warning("%s: %s", shown(path), text)

    try:
        pixels, alpha = open_eight_bits(path, max_pixels=reading.max_pixels, strict=reading.strict, tell=tell)
    except ImageError as error:
        raise ImageSetError(f"cannot read {shown(path)}: {error}") from None
    if alpha is not None and alpha.min() < 255:
        raise ImageSetError(f"{shown(path)} has transparent pixels: which colour they have is not defined")
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def batches(
    sets: Sequence[Sequence[Path]],
    sizes: Sequence[tuple[int, int]],
    *,
    batch_size: int,
    workers: int,
    reading: Reading = DEFAULT,
) -> Iterator[tuple[list[int], list[Tensor]]]:
    """(indices, one uint8 tensor (B, 3, H, W) a set), in order; neighbours of one size share a batch.

    Files are decoded ahead in threads: Pillow decodes outside Python's lock, and threads hand tensors over without a
    copy. At most workers + 1 batches are held.
    """
    groups: list[list[int]] = []
    for index, size in enumerate(sizes):
        if groups and len(groups[-1]) < batch_size and sizes[groups[-1][0]] == size:
            groups[-1].append(index)
        else:
            groups.append([index])

    def load(group: list[int]) -> tuple[list[int], list[Tensor]]:
        return group, [torch.stack([read(paths[index], reading) for index in group]) for paths in sets]

    with ThreadPoolExecutor(max(1, workers)) as pool:
        todo = iter(groups)
        waiting: list[Future[tuple[list[int], list[Tensor]]]] = [
            pool.submit(load, group) for group in islice(todo, max(1, workers) + 1)
        ]
        try:
            while waiting:
                batch = waiting.pop(0).result()
                waiting += [pool.submit(load, group) for group in islice(todo, 1)]
                yield batch
        finally:
            for future in waiting:
                future.cancel()
