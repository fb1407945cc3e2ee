"""Any iterable as a source of images: webdataset's pipelines, iterable sets of torch and datasets, generators."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor
from torch.utils.data import IterableDataset

from pmrf_blocks.data.errors import DataError
from pmrf_blocks.data.framing import Framing
from pmrf_blocks.data.items import ItemReader, Key, name_of
from pmrf_blocks.images import MAX_PIXELS
from pmrf_blocks.seeding import derive_seed


class IterableImages(IterableDataset[Tensor]):
    """The images of an iterable, as uint8 tensors (3, H, W), in its own order; when it ends it is begun again.

    Arguments:
        source: an iterable whose items hold an image each, in any form that pixels_of() takes, or a function that makes
            one for each epoch. Where it has set_epoch(), it is told the epoch's number first.
        size, crop, flip, key, name, max_pixels: as of MapImages.
        skip: a resumed run reads the source from its beginning and passes over what was seen, which is exact if it
            gives the same items again. Without it the run goes back by the state_dict() and load_state_dict() of the
            source or of its iterator (torchdata's protocol); where there are none, it begins anew, and says so.
        split_by_process: the source gives each process of a run items of its own already, as webdataset's
            split_by_node does. Without it each process reads all items and takes its turns.

    One process reads, whatever `workers` is (0: the training process). For more readers, give it a loader that has a
    state, such as torchdata's StatefulDataLoader(source, batch_size=None, num_workers=8), and `workers` 0.
    DataError for what is no iterable, and, which says its number, for an item without an image.

    Examples:
        >>> from PIL import Image
        >>> def stream():
        ...     for brightness in (0, 100, 200):
        ...         yield {"image": Image.new("L", (40, 40), brightness), "caption": "a wall"}
        >>> [int(image.max()) for image in IterableImages(stream, size=32)]
        [0, 100, 200]
    """

    def __init__(
        self,
        source: Iterable[Any] | Callable[[], Iterable[Any]],
        *,
        size: int | None = None,
        crop: int | None = None,
        flip: bool = False,
        key: Key = None,
        name: str | None = None,
        max_pixels: int = MAX_PIXELS,
        skip: bool = False,
        split_by_process: bool = False,
    ) -> None:
        self.source, self.framing = source, Framing(size, crop, flip, max_pixels)
        self.reader = ItemReader(name or name_of(source), key, max_pixels)
        self.skip, self.split_by_process = skip, split_by_process
        if not hasattr(source, "__iter__") and not callable(source):
            raise DataError(f"{self.where} is neither an iterable nor a function that makes one")

    def framed(self, framing: Framing) -> IterableImages:
        """The same images in another framing; the limit on pixels stays."""
        other = copy.copy(self)
        other.framing = replace(framing, max_pixels=self.framing.max_pixels)
        return other

    @property
    def where(self) -> str:
        """The source's name."""
        return self.reader.name

    def identity(self) -> dict[str, Any]:
        """What tells this source from another."""
        return {"source": self.where, **self.framing.identity()}

    def open(self, epoch: int = 0) -> Any:
        """The iterable, ready to be begun at an epoch."""
        made: Any = self.source if hasattr(self.source, "__iter__") else self.source()
        if hasattr(made, "set_epoch"):
            made.set_epoch(epoch)
        return made

    def frame(self, pixels: Any, place: str, seed: int) -> Tensor:
        """Pixels (H, W, 3) of the image at `place` at the working size, cropped and flipped by the seed."""
        try:
            return self.framing.cut(self.framing.resize(pixels), seed)
        except DataError as error:
            raise DataError(f"{place} of {self.where} {error}") from None

    def __iter__(self) -> Iterator[Tensor]:
        """One epoch, for loaders of one's own."""
        for number, item in enumerate(self.open()):
            place = f"image {number}"
            yield self.frame(self.reader.pixels(item, place), place, derive_seed(0, "sample", number))
