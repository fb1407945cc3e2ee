"""Features of a set that comes batch by batch."""

from __future__ import annotations

import torch
from torch import Tensor

from pmrf_blocks.metrics.frechet import Moments
from pmrf_blocks.metrics.image_sets import ImageSetError
from pmrf_blocks.metrics.registry import Extractor


class Gathered:
    """Moments of all features, and the features themselves (some kilobytes an image) where `keep` asks for them."""

    def __init__(self, keep: bool) -> None:
        self.keep = keep
        self.moments = Moments()
        self.kept: list[Tensor] = []

    def add(self, extractor: Extractor, images: Tensor, names: list[str]) -> None:
        """Take in images (B, 3, H, W); ImageSetError naming those whose features are not finite."""
        features = extractor.run(images).cpu()
        bad = [name for name, row in zip(names, features) if not bool(torch.isfinite(row).all())]
        if bad:
            raise ImageSetError(f"features of '{extractor.identity}' are not finite for {', '.join(bad)}")
        self.moments.update(features)
        if self.keep:
            self.kept.append(features.float())

    @property
    def features(self) -> Tensor | None:
        """(N, D) float32 in the order of the images."""
        return torch.cat(self.kept) if self.keep else None
