"""Sets of image files that belong together by name, checked before anything is computed, and read in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
GREY, COLOUR = frozenset({"1", "L", "LA"}), frozenset({"RGB", "RGBA", "P", "YCbCr", "CMYK"})
LISTED = 10
ORIENTATION = 0x0112  # of EXIF; 5 to 8 lay the picture on its side


class ImageSetError(ValueError):
    """Image files that cannot be measured together; the message names them."""


def find_set(path: str | Path) -> dict[str, Path]:
    """Image files of a folder (not of folders inside), or one file, by name without suffix, sorted."""
    path = Path(path)
    if path.is_file():
        return {path.stem: path}
    if not path.is_dir():
        raise ImageSetError(f"no such file or folder: {path}")
    found: dict[str, Path] = {}
    for file in sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()):
        if file.stem in found:
            raise ImageSetError(f"{found[file.stem].name} and {file.name} in {path} have one name; which is meant?")
        found[file.stem] = file
    if not found:
        raise ImageSetError(f"0 images in {path} (suffixes looked for: {', '.join(sorted(SUFFIXES))})")
    return found


def match_sets(first: Mapping[str, Path], second: Mapping[str, Path], label: str) -> None:
    """Error where the two do not have the same names; two single files match whatever their names."""
    if len(first) == len(second) == 1:
        return
    problems = []
    for missing, where in ((first.keys() - second.keys(), label), (second.keys() - first.keys(), "restored images")):
        if missing:
            names = ", ".join(sorted(missing)[:LISTED]) + (" ..." if len(missing) > LISTED else "")
            problems.append(f"{len(missing)} without a partner among the {where}: {names}")
    if problems:
        raise ImageSetError(f"{len(first)} restored images and {len(second)} {label}: " + "; ".join(problems))


def inspect(path: Path) -> tuple[int, int, bool]:
    """(height, width, whether it is grey) from the header; ImageSetError where the file cannot be measured."""
    try:
        with Image.open(path) as file:
            width, height = file.size
            if any(";16" in str(tile[3]) for tile in file.tile) or file.mode not in GREY | COLOUR:
                raise ImageSetError(f"{path} has the pixel format {file.mode} of more than 8 bits; 8 bits are measured")
            if file.getexif().get(ORIENTATION, 1) >= 5:
                width, height = height, width
            return height, width, file.mode in GREY
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageSetError(f"cannot read {path}: {error}") from None


def read(path: Path) -> Tensor:
    """Upright uint8 RGB (3, H, W); ImageSetError for a damaged file or one with transparent pixels."""
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if "A" in image.getbands() or "transparency" in image.info:
                image = image.convert("RGBA")
                if image.getchannel("A").getextrema() != (255, 255):
                    raise ImageSetError(f"{path} has transparent pixels: which colour they have is not defined")
            array = np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageSetError(f"cannot read {path}: {error}") from None
    return torch.from_numpy(array.copy()).permute(2, 0, 1)


def batches(
    sets: Sequence[Sequence[Path]], sizes: Sequence[tuple[int, int]], *, batch_size: int, workers: int
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
        return group, [torch.stack([read(paths[index]) for index in group]) for paths in sets]

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
