"""Where stages read images and write runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from pmrf_blocks.data import DataError, ImageDataset, IterableImages, MapImages
from pmrf_blocks.data.folders import find_images
from pmrf_blocks.data.framing import Framing
from pmrf_blocks.data.split import find_part
from pmrf_blocks.degradations import build_degradation
from pmrf_blocks.experiments.config import config_hash, stage_name
from pmrf_blocks.experiments.image_sets import Images
from pmrf_blocks.experiments.networks import Net
from pmrf_blocks.experiments.stages import Stage
from pmrf_blocks.images import shown
from pmrf_blocks.images.names import without_suffix
from pmrf_blocks.training import TrainConfig, write_degraded
from pmrf_blocks.training.processes import once, world_size


@dataclass(frozen=True)
class Place:
    """Where stages read and write: images below `data`, one run folder a stage below `runs`.

    `data` is laid out as find_part() takes it. `vgg19` and `inception` are published weight files; `changes` are
    settings of every run that change how it is done, not what comes out. `pair_folder` keeps a flow's cached pairs on
    the disk (None: in memory). `decoded` keeps what several stages read.

    Examples:
        >>> from pathlib import Path
        >>> from pmrf_blocks.estimators import UNet
        >>> from pmrf_blocks.training import TrainConfig
        >>> faces, train = Images("faces", 64), TrainConfig(steps=100, batch_size=4)
        >>> stage = Estimator(Net(UNet), faces, faces, train)
        >>> Place(Path("data"), Path("runs")).folder(stage) == Path("runs", stage_name(stage))
        True
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

    def images(self, images: Images, *, counted: bool = True) -> Any:
        """The images as a dataset; small ones of a folder stay in memory, for every stage that reads them.

        DataError for an iterable where they are `counted`: held out, joined, cached or measured.
        """
        if isinstance(images.folder, Net):
            return made(images.folder, images, counted=counted)
        paths = find_part(self.data, images.folder, held_out=images.held_out)[: images.first]
        key = (images.folder, images.held_out, images.size)
        dataset = ImageDataset(paths, size=images.size, crop=images.crop, flip=images.flip, keep=images.size <= 192)
        dataset.decoded = self.decoded.setdefault(key, dataset.decoded)
        return dataset

    def inputs(self, images: Images) -> ImageDataset | None:
        """The published degraded images, in the order of `images`; None for a set that has none, and in a plain data
        folder. DataError for an image without one."""
        if images.degraded is None or isinstance(images.folder, Net) or not (self.data / images.folder).exists():
            return None
        own = {without_suffix(path.name): path for path in find_images(self.data / images.degraded)}
        sharp = find_part(self.data, images.folder, held_out=images.held_out)[: images.first]
        missing = [path for path in sharp if without_suffix(path.name) not in own]
        if missing:
            lacks = f"{images.degraded} lacks the inputs of {len(missing)} of {len(sharp)} images"
            raise DataError(f"{lacks}, {shown(missing[0])} first: pmrf-blocks prepare writes both")
        paths = [own[without_suffix(path.name)] for path in sharp]
        return ImageDataset(paths, size=images.size, keep=images.size <= 192)

    def degraded(self, images: Images, degradation: str | Net, *, counted: bool = False) -> Dataset:
        """What is trained on to restore: the images, to be degraded at every step, or pairs that are made here."""
        if not images.degradations:
            return self.images(images, counted=counted)
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


def made(maker: Net, images: Images, *, counted: bool) -> MapImages | IterableImages:
    """The set that a configuration writes down by what makes it, in the configuration's framing."""
    found = maker.build(0)
    if not isinstance(found, (MapImages, IterableImages)):
        in_any_order = hasattr(found, "__len__") and hasattr(found, "__getitem__")
        found = (MapImages if in_any_order else IterableImages)(found, name=images.name)
    if isinstance(found, IterableImages) and (counted or images.first is not None):
        raise DataError(
            f"{images.name} makes an iterable, which can be trained on alone and as a whole: its images cannot be held "
            "out, joined with others, cached as pairs, normalised over or measured"
        )
    framing = Framing(images.size, images.crop, images.flip)
    return found.framed(framing) if isinstance(found, IterableImages) else found.framed(framing, images.first)


def degradation_of(written: str | Net) -> Any:
    """The degradation that a stage names."""
    return written.build(0) if isinstance(written, Net) else build_degradation(written)
