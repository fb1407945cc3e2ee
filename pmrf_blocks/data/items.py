"""The image within an item of any set, whatever form it has."""

from __future__ import annotations

import inspect
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from pmrf_blocks.data.errors import DataError
from pmrf_blocks.images import IMAGE_SUFFIXES, MAX_PIXELS, ImageError, open_eight_bits
from pmrf_blocks.messages import first_line, short

Key = str | int | Callable[[Any], Any] | None
NAMES = frozenset({"image", "img", *(suffix[1:] for suffix in IMAGE_SUFFIXES)})
UNDECODED = {"bytes", "path"}  # how the package datasets gives images that it is told not to decode
CHANNELS = (1, 3, 4)
ROUNDING = 1e-3  # how far beyond [0, 1] floats may be: interpolation goes there
TRANSPARENT = "its transparency is left out"
LOGGER = logging.getLogger(__name__)


@dataclass
class ItemReader:
    """Finds the image in each item of a set and brings it to uint8 pixels.

    Arguments:
        name: of the set, for messages.
        key: where in an item the image is: the name of an entry, a number, or a function of the item. None: the item
            itself, the first of a tuple or list, or the one entry of a mapping that is called image, img, or as an
            image file's suffix (webdataset's).
        max_pixels: limit on encoded images.
    """

    name: str
    key: Key = None
    max_pixels: int = MAX_PIXELS
    told: set[str] = field(default_factory=set)

    def pixels(self, item: Any, place: str) -> np.ndarray:
        """uint8 (H, W, 3) of an item; DataError, which says what is wrong with the item at `place`."""
        try:
            return pixels_of(self.find(item), max_pixels=self.max_pixels, tell=lambda text: self._tell(place, text))
        except DataError as error:
            raise DataError(f"{place} of {self.name}: {error}") from None

    def find(self, item: Any) -> Any:
        """The image within an item; DataError where it has none that the key names."""
        if callable(self.key):
            try:
                return self.key(item)
            except Exception as error:
                raise DataError(f"key= failed on it: {type(error).__name__}: {first_line(error)}") from error
        if self.key is not None:
            try:
                return item[self.key]
            except (KeyError, IndexError, TypeError):
                raise DataError(f"it has no {self.key!r}: {_described(item)}") from None
        if isinstance(item, Mapping) and not item.keys() <= UNDECODED:
            named = [name for name in item if str(name).lower() in NAMES]
            if len(named) != 1:
                raise DataError(f"which entry is the image? Say so by key=: it is {_described(item)}")
            return item[named[0]]
        if isinstance(item, Sequence) and not isinstance(item, (str, bytes)):
            if not item:
                raise DataError("it is empty")
            return item[0]
        return item

    def _tell(self, place: str, text: str) -> None:
        """Log what is assumed of the set's images, once in each process."""
        if text not in self.told:
            LOGGER.warning("%s of %s, and perhaps others: %s", place, self.name, text)
            self.told.add(text)


def pixels_of(
    image: Any, *, max_pixels: int = MAX_PIXELS, tell: Callable[[str], object] = lambda text: None
) -> np.ndarray:
    """An image as uint8 RGB pixels (H, W, 3), opaque.

    Takes a picture of Pillow's; a tensor (C, H, W) or array (H, W, C) of 1, 3 or 4 channels, or (H, W), of uint8 or of
    floats in [0, 1] (with the channels at the other end where only that can be); an encoded image as bytes, as a path,
    or as a mapping of 'bytes' and 'path'. `tell` is called with what was assumed. DataError for all else.
    """
    if isinstance(image, (Tensor, np.ndarray)):
        return _from_array(image, tell)
    if isinstance(image, Mapping) and image and image.keys() <= UNDECODED:
        image = image["path"] if image.get("bytes") is None else image["bytes"]
    if isinstance(image, (bytes, bytearray, memoryview)):
        image = io.BytesIO(image)
    elif not isinstance(image, (Image.Image, str, Path)):
        raise DataError(
            f"no image but {_described(image)}; images are pictures of Pillow's, tensors, arrays, or encoded ones"
        )
    try:
        pixels, alpha = open_eight_bits(image, max_pixels=max_pixels, tell=tell)
    except ImageError as error:
        raise DataError(f"cannot be read: {error}") from None
    if alpha is not None and alpha.min() < 255:
        tell(TRANSPARENT)
    return pixels


def _from_array(image: Tensor | np.ndarray, tell: Callable[[str], object]) -> np.ndarray:
    shape, kind = tuple(image.shape), str(image.dtype).removeprefix("torch.")
    first = isinstance(image, Tensor)
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        array = (image.float() if image.is_floating_point() else image).numpy()
    else:
        array = image
    if array.ndim == 2:
        array = array[None] if first else array[..., None]
    ends = (0, 2) if first else (2, 0)
    axis = next((end for end in ends if array.ndim == 3 and array.shape[end] in CHANNELS), None)
    if axis is None or not array.size:
        raise DataError(f"no image but {kind} of shape {shape}; it must be (C, H, W), (H, W, C) or (H, W)")
    array = np.moveaxis(array, axis, 2)
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # so that NaN is refused
            raise DataError(f"floats from {low:.4g} to {high:.4g}; they must be in [0, 1] (key= takes a function)")
        array = np.round(array.clip(0, 1) * 255.0).astype(np.uint8)
    if array.dtype != np.uint8:
        raise DataError(f"numbers of {kind}; they must be uint8, or floats in [0, 1] (key= takes a function)")
    if array.shape[2] == 4:
        if array[..., 3].min() < 255:
            tell(TRANSPARENT)
        array = array[..., :3]
    return np.ascontiguousarray(np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array)


def _described(item: Any) -> str:
    """What an item is, in a few words."""
    if isinstance(item, Mapping):
        return f"a mapping of {short(list(item))[1:-1] or 'nothing'}"
    if isinstance(item, (tuple, list)):
        return f"a {type(item).__name__} of {len(item)}"
    if isinstance(item, (Tensor, np.ndarray)):
        return f"{type(item).__name__} of shape {tuple(item.shape)}"
    return f"{short(item)}, a {type(item).__name__}" if item is not None else "None"


def name_of(source: Any) -> str:
    """What a set is called in messages where nobody named it."""
    return source.__name__ if inspect.isroutine(source) or inspect.isclass(source) else type(source).__name__
