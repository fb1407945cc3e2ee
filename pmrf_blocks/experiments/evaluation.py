"""The faces that tables and figures are measured on, and what a stage makes of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pmrf_blocks.analysis.measurement import Measurement, Reference
from pmrf_blocks.experiments.networks import Net
from pmrf_blocks.experiments.place import Place, degradation_of
from pmrf_blocks.experiments.stages import Images
from pmrf_blocks.metrics import efficientnet_lite0_features
from pmrf_blocks.restoration.held_out import BATCH, degrade_held_out
from pmrf_blocks.restoration.spaces import from_signed, to_signed


class FaceSet:
    """N held-out faces; decoded, degraded and described by features once.

    Every image has `degradation_seeds` degradations of its own: of a set that has it as many times, as
    degrade_held_out() makes them.
    """

    def __init__(self, place: Place, images: Images, *, limit: int | None = None, degradation_seeds: int = 1) -> None:
        self.device = place.device or ("cuda" if torch.cuda.is_available() else "cpu")
        dataset = place.images(images)
        count = len(dataset) if limit is None else min(limit, len(dataset))
        clean = torch.stack([dataset[number] for number in range(count)]).float() / 255.0
        self.reference = Reference(clean, self.features)
        named = (place.data / images.folder).exists()  # else what find_part() held out: not the faces of that name
        self.folder, self.seeds = images.folder if named else f"{place.data.name}-held-out", degradation_seeds
        self._degraded: dict[str, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.clean)

    @property
    def clean(self) -> Tensor:
        """The originals (N, 3, H, W) in [0, 1]."""
        return self.reference.clean

    @property
    def name(self) -> str:
        """For the names of result files."""
        return f"{self.folder.replace('/', '-')}-{len(self)}x{self.seeds}"

    @cached_property
    def extractor(self) -> Any:
        return efficientnet_lite0_features().to(self.device)

    def features(self, images: Tensor) -> Tensor:
        return torch.cat([self.extractor(part.to(self.device)).cpu() for part in images.split(BATCH)])

    def degraded(self, written: str | Net) -> tuple[Tensor, Tensor]:
        """(degraded, target), (R N, 3, H, W): all images for the first degradation seed, then for the next."""
        name = str(written)
        if name not in self._degraded:
            images = self.clean.repeat(self.seeds, 1, 1, 1)
            self._degraded[name] = degrade_held_out(degradation_of(written), images, range(len(images)))
        return self._degraded[name]

    def measured(self, path: Path, make: Callable[[], tuple[Tensor, Tensor]]) -> Measurement:
        """The measurement in PATH.json; of the (images, targets) that `make` gives, and written there, where it is
        not."""
        if not path.exists():
            self.reference.measure(*make()).save(path)
        return Measurement.load(path)


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
