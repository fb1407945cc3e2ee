"""Sets of others to train on: map-style ones and streams, with a state of their own and without."""

import io
import os
import random
import signal

import numpy as np
import torch
from PIL import Image
from torch import nn
from training_toys import config, fit

from pmrf_blocks.data import IterableImages, MapImages
from pmrf_blocks.training import PosteriorMeanTask


def picture(number, side=12):
    rng = np.random.default_rng(number)
    return Image.fromarray(rng.integers(0, 256, (side, side + number % 3, 3), dtype=np.uint8))


def encoded(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def noisy(x, *, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator), x


def shaded(image):
    """A set's own random transform."""
    shade = 0.5 + random.random() / 2
    return image.point(lambda value: value * shade)


class Restoring(PosteriorMeanTask):
    """Kills its process before a step."""

    def __init__(self, dies_at=None):
        torch.manual_seed(0)
        super().__init__(nn.Conv2d(3, 3, 3, padding=1), noisy)
        self.steps, self.dies_at = 0, dies_at

    def forward(self, batch, generator):
        if self.steps == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.steps += self.training
        loss, parts = super().forward(batch, generator)
        return loss, {**parts, "batch": batch.float().mean()}


class Labelled(torch.utils.data.Dataset):
    """As torchvision's: (picture, label), after a transform of its own that is random."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return shaded(picture(index)), index


class Rows:
    """What of datasets.Dataset is used: rows are dictionaries, and lists of rows come as columns."""

    def __init__(self, **columns):
        self.columns = columns

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index):
        assert type(index) in (int, list)  # as datasets' refuse tuples
        if isinstance(index, int):
            return {name: values[index] for name, values in self.columns.items()}
        return {name: [values[one] for one in index] for name, values in self.columns.items()}

    def __getitems__(self, indices):
        return [self[index] for index in indices]


def rows():
    return Rows(photo=[picture(number) for number in range(5)], label=list(range(5)))


class Pipeline:
    """As webdataset's: encoded images, no state, begun again for each epoch; 7 items are no multiple of a batch."""

    def __iter__(self):
        for number in range(7):
            yield {"__key__": str(number), "png": encoded(picture(number)), "cls": number}


class Stateful(Pipeline):
    """As datasets.IterableDataset: it keeps its own place, and a state is of the epoch that was set."""

    def __init__(self):
        self.epoch, self.index, self.loaded = 0, 0, None

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        self.index = self.loaded["index"] if self.loaded and self.loaded["epoch"] == self.epoch else 0
        while self.index < 7:
            self.index += 1
            yield shaded(picture(10 * self.epoch + self.index)), self.index

    def state_dict(self):
        return {"epoch": self.epoch, "index": self.index}

    def load_state_dict(self, state):
        self.loaded = dict(state)


class Iterators:
    """The iterator has the state, as torchdata allows."""

    def __iter__(self):
        return Numbers()


class Numbers:
    first, count = 0, 7

    def __init__(self):
        self.index = 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.index == self.count:
            raise StopIteration
        self.index += 1
        return picture(self.first + self.index)

    def state_dict(self):
        return {"index": np.int64(self.index), "seen": [torch.arange(self.index)], "none": None}

    def load_state_dict(self, state):
        assert type(state["index"]) is int
        assert len(state["seen"][0]) == state["index"]
        self.index = state["index"]


def share():
    """As split_by_node: each process has items of its own, as many as there are."""
    shares = Numbers()
    rank = int(os.environ.get("RANK", "0"))
    shares.first, shares.count = 100 * rank, 7 - 2 * rank
    return shares


def generator():
    yield from map(picture, range(7))


SETS = {
    "pipeline": lambda: IterableImages(Pipeline(), size=10, crop=8, flip=True, skip=True),
    "function": lambda: IterableImages(generator, size=10, crop=8, flip=True, skip=True),
    "stateful": lambda: IterableImages(Stateful(), size=10, crop=8, flip=True),
    "stateful, passed over": lambda: IterableImages(Stateful(), size=10, crop=8, flip=True, skip=True),
    "share": lambda: IterableImages(share, size=10, crop=8, split_by_process=True),
    "iterators": lambda: IterableImages(Iterators(), size=10, crop=8, flip=True),
    "labelled": lambda: MapImages(Labelled(), size=10, crop=8, flip=True),
    "rows": lambda: MapImages(rows(), size=10, crop=8, flip=True, key="photo"),
}
SETTINGS = {"steps": 4, "batch_size": 4, "log_every": 1, "checkpoint_every": 1, "validate_every": 4, "pictures": 0}


def train(folder, started, *, kind, dies_at=None, stop=None, **changes):
    task = Restoring(dies_at)
    validation = MapImages(rows(), size=8, key="photo")
    fit(config(**SETTINGS | changes), task, SETS[kind](), folder, validation=validation, device="cpu", stop=stop)


def said(folder):
    if not (folder / "log.txt").exists():
        return []
    return [line[20:] for line in (folder / "log.txt").read_text().splitlines() if "exactly" in line]
