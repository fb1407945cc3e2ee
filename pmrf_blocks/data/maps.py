"""Any map-style set as a source of images: torchvision's, the package datasets', one's own."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from pmrf_blocks.data.errors import DataError
from pmrf_blocks.data.folders import SampleKey
from pmrf_blocks.data.framing import Framing
from pmrf_blocks.data.items import ItemReader, Key, name_of
from pmrf_blocks.images import MAX_PIXELS
from pmrf_blocks.messages import first_line
from pmrf_blocks.seeding import seeded

LOOKED_AT = 8  # items that are read before the first step, spread over the set
CPU = torch.device("cpu")


class MapImages(Dataset[Tensor]):
    """The images of any object with __len__ and __getitem__, as uint8 tensors (3, H, W): order, crops and exact resume
    are those of a folder.

    Arguments:
        source: its items hold an image each, in any form that pixels_of() takes.
        size, crop, flip, max_pixels: as of ImageDataset.
        key: where in an item the image is: the name of an entry, a number, or a function of the item. None: the item
            itself, the first of a tuple or list, or the one entry that is called image, img, or as an image's suffix.
        name: what tells this set from others in messages and checkpoints; None takes its class's.

    What the source draws from the global generators of Python, NumPy and torch (its own random transforms) is a
    function of the sample's seed, in any worker process. DataError for what is no map-style set, and, which says the
    item's number, for an item without an image.

    Examples:
        >>> from PIL import Image
        >>> rows = [{"photo": Image.new("RGB", (40, 36)), "label": 0}]
        >>> MapImages(rows, size=33, crop=32, key="photo")[0].shape
        torch.Size([3, 32, 32])
    """

    def __init__(
        self,
        source: Any,
        *,
        size: int | None = None,
        crop: int | None = None,
        flip: bool = False,
        key: Key = None,
        name: str | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.source, self.framing = source, Framing(size, crop, flip, max_pixels)
        self.reader = ItemReader(name or name_of(source), key, max_pixels)
        if not hasattr(source, "__getitem__") or not hasattr(source, "__len__"):
            raise DataError(f"{self.where} has no __getitem__ and __len__; what is read in turn goes to IterableImages")

    def framed(self, framing: Framing, first: int | None = None) -> MapImages:
        """The same images, the `first` so many or all, in another framing; the limit on pixels stays."""
        other = copy.copy(self)
        other.framing = replace(framing, max_pixels=self.framing.max_pixels)
        other.source = self.source if first is None else Subset(self.source, range(min(first, len(self))))
        return other

    def __len__(self) -> int:
        return len(self.source)

    @property
    def where(self) -> str:
        """The set's name."""
        return self.reader.name

    def identity(self) -> dict[str, Any]:
        """What tells this set from another; what its own identity() says, if it has one, too."""
        own = getattr(self.source, "identity", None)
        return {"source": self.where, **(own() if callable(own) else {}), **self.framing.identity()}

    def problems(self, indices: Iterable[int], *, batched: bool = True) -> list[tuple[str, str]]:
        """The first of a few of these items that cannot be used, with the reason: to look at all would read the set."""
        indices = list(indices)
        sides: list[int] = []
        for index in indices[:: max(1, len(indices) // LOOKED_AT)]:
            try:
                sides.append(min(self.read(SampleKey(index, 0)).shape[:2]))
            except DataError as error:
                return [(f"item {index}", str(error).removeprefix(f"item {index} of {self.where}").lstrip(": "))]
            if batched and self.framing.varies and sides[-1] != sides[0]:
                reason = f"its square is {sides[-1]} pixels wide, that of item {indices[0]} {sides[0]}"
                return [(f"item {index}", f"{reason}; set size or crop")]
        return []

    def read(self, key: SampleKey) -> np.ndarray:
        """The image of an item at the working size, uint8 (H, W, 3), not cropped."""
        place = f"item {key.image}"
        with seeded(key.seed, "item", device=CPU):
            try:
                item = self.source[key.image]
            except Exception as error:
                reason = f"{type(error).__name__}: {first_line(error)}"
                raise DataError(f"{place} of {self.where} cannot be read: {reason}") from error
            pixels = self.reader.pixels(item, place)
        try:
            return self.framing.resize(pixels)
        except DataError as error:
            raise DataError(f"{place} of {self.where} {error}") from None

    def __getitem__(self, key: int | SampleKey) -> Tensor:
        key = SampleKey(*key) if isinstance(key, tuple) else SampleKey(key, 0)
        if not -len(self) <= key.image < len(self):
            raise IndexError(f"item {key.image} of {len(self)}")  # which ends a loop over the set
        return self.framing.cut(self.read(key), key.seed)
