"""Where stages read images and write runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from pmrf_blocks.data import ImageDataset
from pmrf_blocks.data.split import find_part
from pmrf_blocks.degradations import build_degradation
from pmrf_blocks.experiments.config import config_hash, stage_name
from pmrf_blocks.experiments.networks import Net
from pmrf_blocks.experiments.stages import Images, Stage
from pmrf_blocks.training import TrainConfig, write_degraded
from pmrf_blocks.training.processes import once, world_size


@dataclass(frozen=True)
class Place:
    """Where stages read and write: images below `data`, one run folder a stage below `runs`.

    `data` is laid out as find_part() takes it. `vgg19` and `inception` are published weight files; `changes` are
    settings of every run that change how it is done, not what comes out. `pair_folder` keeps a flow's cached pairs on
    the disk (None: in memory). `decoded` keeps what several stages read.
    """

    data: Path
    runs: Path
    device: str | None = None
    vgg19: Path | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    pair_folder: Path | None = None
    inception: Path | None = None
    decoded: dict[tuple[str, bool, int], dict[int, Any]] = field(default_factory=dict)

    def folder(self, stage: Stage) -> Path:
        return self.runs / stage_name(stage)

    def images(self, images: Images) -> ImageDataset:
        """The images as a dataset; small ones stay in memory, for every stage that reads them."""
        paths = find_part(self.data, images.folder, held_out=images.held_out)[: images.first]
        key = (images.folder, images.held_out, images.size)
        dataset = ImageDataset(paths, size=images.size, crop=images.crop, flip=images.flip, keep=images.size <= 192)
        dataset.decoded = self.decoded.setdefault(key, dataset.decoded)
        return dataset

    def degraded(self, images: Images, degradation: str | Net) -> Dataset:
        """What is trained on to restore: the images, to be degraded at every step, or pairs that are made here."""
        if not images.degradations:
            return self.images(images)
        path = self.runs / f"degraded-{config_hash((images, degradation))}.npy"
        rounds, workers = images.degradations, self.changes.get("workers", 0)
        sets = self.images(images), degradation_of(degradation)
        once(lambda: write_degraded(path, *sets, rounds=rounds, workers=workers), self.device)
        return write_degraded(path, *sets, rounds=rounds)

    def config(self, train: TrainConfig) -> TrainConfig:
        """The run's settings on this process: a recipe's batch is that of all processes together."""
        world = world_size()
        if train.batch_size % world:
            raise ValueError(f"a batch of {train.batch_size} cannot be shared out among {world} processes")
        return replace(train, batch_size=train.batch_size // world, **self.changes)


def degradation_of(written: str | Net) -> Any:
    """The degradation that a stage names."""
    return written.build(0) if isinstance(written, Net) else build_degradation(written)
