"""The faces that tables and figures are measured on, and what a stage makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pmrf_blocks.analysis.further import FurtherScores
from pmrf_blocks.analysis.measurement import Measurement, OnDemand, Reference
from pmrf_blocks.degradations import BlindFaceDegradation
from pmrf_blocks.experiments.image_sets import Images
from pmrf_blocks.experiments.networks import Net
from pmrf_blocks.experiments.place import Place, degradation_of
from pmrf_blocks.metrics import efficientnet_lite0_features
from pmrf_blocks.restoration.held_out import BATCH, degrade_held_out
from pmrf_blocks.restoration.spaces import from_signed, to_signed

KEPT = 2**28  # bytes of degraded images that stay in memory: small faces are degraded once, large ones for each row
Pairs = Iterable[tuple[Tensor, Tensor]]


class FaceSet:
    """N held-out faces, read and degraded BATCH at a time whenever they are measured on, and described by features
    once. `further` are FurtherScores' arguments,
    where more than SCORES is to be measured.

    Blind faces are the published inputs where the set has them. Otherwise every image has `degradation_seeds`
    degradations of its own: of a set that has it as many times, as degrade_held_out() makes them. ValueError for
    several of what is published.
    """

    def __init__(
        self,
        place: Place,
        images: Images,
        *,
        limit: int | None = None,
        degradation_seeds: int = 1,
        further: Mapping[str, Any] | None = None,
    ) -> None:
        self.device = place.device or ("cuda" if torch.cuda.is_available() else "cpu")
        dataset = place.images(images)
        count = len(dataset) if limit is None else min(limit, len(dataset))
        clean = OnDemand(count, lambda numbers: stacked(dataset, numbers))
        self.published = place.inputs(images)
        if self.published is not None and degradation_seeds > 1:
            again = f"--on {images.name} degrades the originals again"
            raise ValueError(f"--degradation-seeds: {images.degraded} has one input of each image; {again}")
        self.inputs = f"restored from the published inputs in {images.degraded}"
        if self.published is None:
            self.inputs = f"{degradation_seeds} degradation(s) each, made here"
        more = None if further is None else FurtherScores(clean, device=self.device, **further)
        self.reference = Reference(clean, self.features, more)
        # What find_part() held out of another folder are not the faces of that name.
        named = isinstance(images.folder, Net) or (place.data / images.folder).exists()
        self.folder, self.seeds = images.name if named else f"{place.data.name}-held-out", degradation_seeds
        self._degraded: dict[tuple[str, range], tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.clean)

    @property
    def clean(self) -> Any:
        """The originals (N, 3, H, W) in [0, 1], on demand."""
        return self.reference.clean

    @property
    def name(self) -> str:
        """For the names of result files."""
        own = "" if self.published is None else "-published"
        return f"{self.folder.replace('/', '-')}-{len(self)}x{self.seeds}{own}"

    @cached_property
    def extractor(self) -> Any:
        return efficientnet_lite0_features().to(self.device)

    def features(self, images: Tensor) -> Tensor:
        """(B, D) on the CPU."""
        return self.extractor(images.to(self.device)).cpu()

    def degraded(self, written: str | Net) -> Iterator[tuple[int, Tensor, Tensor]]:
        """(number of the first, degraded, target) of each batch, (B, 3, H, W): all images for the first degradation
        seed, then for the next."""
        total = len(self) * self.seeds
        for start in range(0, total, BATCH):
            yield start, *self.degrade(written, range(start, min(start + BATCH, total)))

    def degrade(self, written: str | Net, numbers: range) -> tuple[Tensor, Tensor]:
        """(degraded, target), (B, 3, H, W), of those with these numbers among R N."""
        kind = written.kind if isinstance(written, Net) else {"blind-face": BlindFaceDegradation}.get(written)
        images = self.clean.make([number % len(self) for number in numbers])
        if self.published is not None and kind is BlindFaceDegradation:
            return stacked(self.published, numbers), images
        key = (str(written), numbers)
        if key not in self._degraded:
            pair = degrade_held_out(degradation_of(written), images, numbers)
            held = sum(x.nbytes for parts in self._degraded.values() for x in parts)
            if held + sum(x.nbytes for x in pair) > KEPT:
                return pair
            self._degraded[key] = pair
        return self._degraded[key]

    def measured(self, path: Path, make: Callable[[], Pairs], *, save_images: bool = False) -> Measurement:
        """The measurement in PATH.json; of the batches of (images, targets) that `make` gives, and written there, where
        it is not. `save_images` writes the images into the folder PATH, the targets into `originals` beside it; both
        are made again where the scores alone are there."""
        folder = path.with_suffix("")
        if save_images and not folder.is_dir():
            path.unlink(missing_ok=True)
        found = Measurement.load(path) if path.exists() else None
        if found is None or not self.reference.has(found):
            pairs = saved(make(), folder, path.parent / "originals") if save_images else make()
            self.reference.measure(pairs).save(path)
            found = Measurement.load(path)
        return found


def saved(pairs: Pairs, images: Path, targets: Path) -> Iterator[tuple[Tensor, Tensor]]:
    """The same batches, written on the way."""
    first = 0
    for pair in pairs:
        for batch, folder in zip(pair, (images, targets)):
            write_images(batch, folder, first)
        first += len(pair[0])
        yield pair


def write_images(images: Tensor, folder: Path, first: int = 0) -> None:
    """PNG files named by number, as `pmrf-blocks evaluate` takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images, first):
        pixels = (image * 255.0).round().to(torch.uint8).permute(1, 2, 0)
        Image.fromarray(pixels.numpy()).save(folder / f"{number:05d}.png")


def stacked(dataset: Any, numbers: Sequence[int]) -> Tensor:
    """uint8 images of a set as (B, 3, H, W) in [0, 1]."""
    return torch.stack([dataset[number] for number in numbers]).float() / 255.0


@torch.no_grad()
def in_batches(compute: Callable[[Tensor], Tensor], images: Tensor, device: str) -> Tensor:
    """`compute` on images (N, 3, H, W), BATCH at a time on `device`; the results on the CPU, clipped to [0, 1]."""
    return torch.cat([compute(part.to(device)).float().cpu() for part in images.split(BATCH)]).clamp(0, 1)


def reconstruct(autoencoder: Any, images: Tensor, device: str) -> Tensor:
    """What an autoencoder on `device` makes of images (N, 3, H, W) in [0, 1]."""
    return in_batches(lambda x: from_signed(autoencoder(to_signed(x))), images, device)


def start_of(pipeline: Any, degraded: Tensor, device: str) -> Tensor:
    """What a pipeline's flow starts from, decoded, without its noise."""
    size = (degraded.shape[-2], degraded.shape[-1])
    return in_batches(lambda x: pipeline.image(pipeline.start(x)[0], size), degraded, device)
