"""Sets of others train: four steps, killed in the third, resumed, equal a run that was not, bit for bit."""

import os
import random
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from training_toys import Children, config, fit, outcome, run

from pmrf_blocks.data import DataError, MapImages
from pmrf_blocks.training import PosteriorMeanTask, TrainingError


def picture(number, side=12):
    rng = np.random.default_rng(number)
    return Image.fromarray(rng.integers(0, 256, (side, side + number % 3, 3), dtype=np.uint8))


def noisy(x, *, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator), x


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
        shade = random.random()
        return picture(index).point(lambda value: value * shade), index


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


SETS = {
    "labelled": lambda: MapImages(Labelled(), size=10, crop=8, flip=True),
    "rows": lambda: MapImages(rows(), size=10, crop=8, flip=True, key="photo"),
}
SETTINGS = {"steps": 4, "batch_size": 4, "log_every": 1, "checkpoint_every": 1, "validate_every": 4, "pictures": 0}


def train(folder, started, *, kind, dies_at=None, **changes):
    task = Restoring(dies_at)
    validation = MapImages(rows(), size=8, key="photo")
    fit(config(**SETTINGS | changes), task, SETS[kind](), folder, validation=validation, device="cpu")


@pytest.mark.parametrize(("kind", "workers", "then"), [("labelled", 0, 1), ("rows", 2, 0)])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, kind, workers, then):
    """However many processes read, before and after."""
    assert Children(train, tmp_path / "killed", kind=kind, workers=workers, dies_at=2).wait() == [-signal.SIGKILL]
    assert Children(train, tmp_path / "killed", kind=kind, workers=then).wait() == [0]
    assert Children(train, tmp_path / "whole", kind=kind).wait() == [0]
    assert "resumed from step-00000002.pt" in (tmp_path / "killed/log.txt").read_text()
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")


def test_another_set_is_refused(tmp_path):
    run(tmp_path, Restoring(), SETS["rows"](), **SETTINGS | {"steps": 2})
    with pytest.raises(TrainingError, match="dataset source was 'Rows' and is 'Labelled'"):
        run(tmp_path, Restoring(), SETS["labelled"](), **SETTINGS)


def test_wrong_items_end_it_in_one_line(tmp_path):
    class Spoilt(Labelled):
        def __getitem__(self, index):
            return 3, index

    with pytest.raises(DataError, match=r"^1 image in Spoilt cannot be used: item 0: no image but 3, a int; [^\n]*$"):
        run(tmp_path, Restoring(), MapImages(Spoilt(), size=8), **SETTINGS)
