"""Features of a set that comes batch by batch."""

from __future__ import annotations

import torch
from torch import Tensor

from pmrf_blocks.metrics.checks import to_double
from pmrf_blocks.metrics.frechet import Moments
from pmrf_blocks.metrics.image_sets import ImageSetError
from pmrf_blocks.metrics.registry import Extractor


class Gathered:
    """Moments of all features of `count` images, and the features themselves (some kilobytes an image) where `keep`
    asks for them."""

    def __init__(self, count: int, keep: bool) -> None:
        self.count, self.keep = count, keep
        self.moments = Moments()
        self.features: Tensor | None = None  # (count, D) float32 in the order of the images

    def add(self, extractor: Extractor, images: Tensor, names: list[str]) -> None:
        """Take in images (B, 3, H, W); ImageSetError naming those whose features are not finite."""
        features = extractor.run(images).cpu()
        bad = [name for name, row in zip(names, features) if not bool(torch.isfinite(row).all())]
        if bad:
            raise ImageSetError(f"features of '{extractor.identity}' are not finite for {', '.join(bad)}")
        done = self.moments.count
        self.moments.update(features)
        if self.keep:
            if self.features is None:
                self.features = torch.empty(self.count, features.shape[1], dtype=torch.float32, device="cpu")
            self.features[done : self.moments.count] = features


def finite_or_infinite(values: Tensor, name: str, names: list[str]) -> Tensor:
    """Values in float64 on the CPU; an error naming the images whose value is not a number."""
    values = to_double(values.detach()).cpu()
    bad = [image for image, value in zip(names, values) if bool(torch.isnan(value))]
    if bad:
        raise ImageSetError(f"{name} is not a number for {', '.join(bad)}")
    return values
