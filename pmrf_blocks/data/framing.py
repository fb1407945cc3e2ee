"""What of an image goes into a batch: the size it is brought to, its random crop, its flip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pmrf_blocks.data.errors import DataError
from pmrf_blocks.images import MAX_PIXELS


@dataclass(frozen=True)
class Framing:
    """How every source of images brings them to size; DataError where the crop is larger than the size.

    Arguments:
        size: the shorter side is brought to this many pixels (Lanczos, antialiased); None keeps the size.
        crop: side of the random square crop; None takes the centre square of the shorter side.
        flip: mirror half of the samples left to right.
        max_pixels: limit on what an image is resized to.
    """

    size: int | None = None
    crop: int | None = None
    flip: bool = False
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if self.size is not None and self.crop is not None and self.crop > self.size:
            raise DataError(f"crop {self.crop} is larger than size {self.size}")

    @property
    def varies(self) -> bool:
        """Whether images of several sizes come out in several sizes, which no batch holds."""
        return self.size is None and self.crop is None

    def identity(self) -> dict[str, Any]:
        """What a run that is resumed must find as it was."""
        return {"size": self.size, "crop": self.crop, "flip": self.flip}

    def misfit(self, width: int, height: int) -> str:
        """Why an upright image of this size cannot be used, or ''."""
        if self.size is None:
            if self.crop is not None and min(width, height) < self.crop:
                return f"is {width}x{height}, smaller than the crop of {self.crop}"
            return ""
        width, height = self.resized(width, height)
        if width * height > self.max_pixels:
            return f"would be {width}x{height} at size {self.size}, more than {self.max_pixels:,} pixels"
        return ""

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of an image of this size at the working size."""
        if self.size is None:
            return width, height
        scale = self.size / min(width, height)
        return max(self.size, round(width * scale)), max(self.size, round(height * scale))

    def resize(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 pixels (H, W, 3) at the working size; DataError where misfit() has something to say."""
        height, width = pixels.shape[:2]
        if misfit := self.misfit(width, height):
            raise DataError(misfit)
        if self.resized(width, height) == (width, height):
            return pixels
        return np.asarray(Image.fromarray(pixels).resize(self.resized(width, height), Image.Resampling.LANCZOS))

    def cut(self, pixels: np.ndarray, seed: int) -> Tensor:
        """Crop and flip, which the seed decides, of resized pixels (H, W, 3), as a tensor (3, H, W)."""
        rng = np.random.default_rng(seed)
        height, width = pixels.shape[:2]
        side = min(height, width) if self.crop is None else self.crop
        if self.crop is None:
            top, left = (height - side) // 2, (width - side) // 2
        else:
            top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        pixels = pixels[top : top + side, left : left + side]
        if self.flip and rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1)
