"""Sets of others train: four steps, killed in the third, resumed, equal a run that was not, bit for bit."""

import io
import os
import random
import re
import shutil
import signal
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from training_toys import Children, config, fit, outcome, run, stats

from pmrf_blocks.data import DataError, IterableImages, MapImages
from pmrf_blocks.data.stream_batches import StreamBatches
from pmrf_blocks.training import PosteriorMeanTask, TrainingError
from pmrf_blocks.training.checkpoint import steps_done


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


@pytest.mark.parametrize(
    ("kind", "workers", "then"),
    [("labelled", 0, 1), ("rows", 2, 0), ("pipeline", 1, 0), ("stateful", 0, 1)],
)
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, kind, workers, then):
    """However many processes read, before and after."""
    assert Children(train, tmp_path / "killed", kind=kind, workers=workers, dies_at=2).wait() == [-signal.SIGKILL]
    assert Children(train, tmp_path / "killed", kind=kind, workers=then).wait() == [0]
    assert Children(train, tmp_path / "whole", kind=kind).wait() == [0]
    log = (tmp_path / "killed/log.txt").read_text()
    assert "resumed from step-00000002.pt" in log
    assert "exactly" not in log
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("kind", [kind for kind in SETS if kind not in ("labelled", "rows")])
def test_a_stream_that_is_left_goes_on_bit_for_bit(tmp_path, kind):
    settings = SETTINGS | {"steps": 9}
    run(tmp_path / "whole", Restoring(), SETS[kind](), **settings)
    for stop in (2, 7, 9):  # after 8 and 28 images, 7 an epoch: within one, and at the end of one
        run(tmp_path / "left", Restoring(), SETS[kind](), **settings, stop=stop)
    assert "exactly" not in (tmp_path / "left/log.txt").read_text()
    assert outcome(tmp_path / "left") == outcome(tmp_path / "whole")


def test_two_processes_see_what_one_sees(tmp_path):
    """What two have begun, one ends, with smaller batches computed one after the other."""
    whole = SETTINGS | {"validate_every": 99}
    run(tmp_path / "one", Restoring(), SETS["stateful"](), **whole)
    options = {"kind": "stateful", "batch_size": 2, "steps": 2}
    assert Children(train, tmp_path / "two", world=2, **options).wait() == [0, 0]
    run(tmp_path / "two", Restoring(), SETS["stateful"](), **whole, accumulate=4)
    assert "exactly" not in (tmp_path / "two/log.txt").read_text()
    batches = [[line["batch"] for line in stats(tmp_path / name) if "batch" in line] for name in ("one", "two")]
    assert batches[0] == pytest.approx(batches[1], rel=1e-6)


class Own:
    """Gives each process items of its own, as split_by_node does."""

    def __init__(self, rank):
        self.rank = rank

    def __iter__(self):
        yield from (picture(2 * number + self.rank) for number in range(4))


def test_a_source_that_splits_itself_is_read_whole_by_each_process():
    def first(rank, split):
        options = {"batch_size": 2, "rank": rank, "world_size": 2}
        images = IterableImages(Own(rank), size=12, split_by_process=split)
        return [batch for batch, _, _ in islice(StreamBatches(images, **options), 1, 3)]

    for rank in (0, 1):
        own = [IterableImages([picture(2 * number + rank)], size=12) for number in range(4)]
        expected = torch.stack([next(iter(one)) for one in own])
        assert torch.equal(torch.cat(first(rank, True)), expected)
        assert torch.equal(first(rank, False)[0], expected[2 * rank : 2 * rank + 2])


def test_processes_with_shares_of_their_own_resume_each_where_it_was(tmp_path):
    options = {"kind": "share", "world": 2, "batch_size": 2}
    assert Children(train, tmp_path / "whole", **options).wait() == [0, 0]
    assert Children(train, tmp_path / "left", **options, stop=2).wait() == [0, 0]
    shutil.copytree(tmp_path / "left", tmp_path / "alone")
    assert Children(train, tmp_path / "left", **options).wait() == [0, 0]
    assert outcome(tmp_path / "left")["state"] == outcome(tmp_path / "whole")["state"]
    assert said(tmp_path / "left") == []
    run(tmp_path / "alone", Restoring(), SETS["share"](), **SETTINGS)
    assert said(tmp_path / "alone") == [
        "this run does not resume exactly: where share stood is not known, and it is begun anew"
    ]


def said(folder):
    if not (folder / "log.txt").exists():
        return []
    return [line[20:] for line in (folder / "log.txt").read_text().splitlines() if "exactly" in line]


class Buffered(Stateful):
    """Its state is not all: what a shuffle buffer held is lost."""

    def __iter__(self):
        held = []
        for item in super().__iter__():
            held.append(item)
            if len(held) > 2:
                yield held.pop(0)
        yield from held


class Clock:
    """Another order in each run."""

    made = 0

    def __init__(self):
        Clock.made += 1
        self.seed = Clock.made

    def __iter__(self):
        yield from map(picture, np.random.default_rng(self.seed).permutation(50))


@pytest.mark.parametrize(
    ("source", "skip", "first", "then"),
    [
        (Pipeline, False, ["Pipeline has no state_dict() and load_state_dict(): stopped, this run will not resume "
         "exactly but begin anew with its first images (skip=True passes over those that were seen)"],
         "Pipeline cannot go back to its image 8 and is begun anew (skip=True reads up to there again)"),
        (Buffered, False, [], "Buffered, back at its image 8, gives others than before (skip=True reads up to there "
         "again)"),
        (Clock, True, [], "Clock, back at its image 8, gives others than before (its order must depend on no clock "
         "and on no generator that is not seeded)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_that_cannot_resume_exactly_says_so(tmp_path, source, skip, first, then, workers):
    images = IterableImages(source(), size=8, skip=skip)
    run(tmp_path, Restoring(), images, **SETTINGS, stop=2, workers=workers)
    assert said(tmp_path) == first
    run(tmp_path, Restoring(), IterableImages(source(), size=8, skip=skip), **SETTINGS, workers=workers)
    assert said(tmp_path) == [*first, f"this run does not resume exactly: {then}"]
    assert steps_done(tmp_path) == 4


def test_another_set_is_refused(tmp_path):
    run(tmp_path, Restoring(), SETS["rows"](), **SETTINGS | {"steps": 2})
    with pytest.raises(TrainingError, match="dataset source was 'Rows' and is 'Labelled'"):
        run(tmp_path, Restoring(), SETS["labelled"](), **SETTINGS)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_wrong_item_that_was_not_looked_at_ends_it_in_one_line(tmp_path, workers):
    data = MapImages([*[picture(0)] * 7, 3, *[picture(0)] * 9], size=8)
    assert not data.problems(range(17))
    with pytest.raises(DataError, match=r"^item 7 of list: no image but 3, a int; [^\n]*$"):
        run(tmp_path, Restoring(), data, **SETTINGS | {"steps": 9}, workers=workers)


def test_a_wrong_item_ends_it_before_the_first_step(tmp_path):
    class Spoilt(Labelled):
        def __getitem__(self, index):
            return 3, index

    with pytest.raises(DataError, match=r"^1 image in Spoilt cannot be used: item 0: no image but 3, a int; [^\n]*$"):
        run(tmp_path, Restoring(), MapImages(Spoilt(), size=8), **SETTINGS)


def broken(source, **options):
    return lambda: IterableImages(source, **{"size": 8, **options})


class Refusing(Stateful):
    def load_state_dict(self, state):
        raise KeyError("shard 3 is gone")


class Opaque(Stateful):
    def state_dict(self):
        return {"buffer": [np.arange(3)]}


def failing():
    yield from map(picture, range(6))
    raise OSError("the server has gone")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (broken([picture(0)] * 4 + [(3,)]), "image 4 of list: no image but 3, a int; .*"),
        (
            broken([picture(0)] * 4 + [picture(0, side=6)], size=None, crop=8),
            "image 4 of list is 6x6, smaller than .* 8",
        ),
        (broken([picture(0), picture(0, side=6)], size=None), "squares of list are 6 and 12 pixels wide, for one .*"),
        (broken(failing), "failing failed after 6 images: OSError: the server has gone"),
        (broken([]), "list gave 0 images"),
        (lambda: broken(map(picture, range(6)))(), "map gave 6 images and none when it is begun again: it must be .*"),
        (broken(Opaque()), r"the state_dict\(\) of Opaque holds a numpy.ndarray; a checkpoint takes plain .*"),
    ],
)
def test_what_is_wrong_with_a_stream_is_one_line(tmp_path, make, message, workers):
    with pytest.raises(DataError) as error:
        run(tmp_path, Restoring(), make(), **SETTINGS, workers=workers)
    assert re.fullmatch(message, str(error.value))


def test_what_is_wrong_with_its_use_is_one_line(tmp_path):
    with pytest.raises(DataError, match="training needs a map-style set, and Pipeline is none; wrap it"):
        run(tmp_path / "bare", Restoring(), Pipeline(), **SETTINGS)
    with pytest.raises(DataError, match="validation needs a map-style set, and IterableImages is none"):
        run(tmp_path / "validated", Restoring(), SETS["rows"](), **SETTINGS, validation=SETS["stateful"]())
    with pytest.raises(DataError, match="int is neither an iterable nor a function that makes one"):
        IterableImages(3)
    run(tmp_path, Restoring(), IterableImages(Refusing(), size=8), **SETTINGS, stop=2)
    with pytest.raises(DataError, match=r"^Refusing cannot be taken back to its image 8: KeyError: 'shard 3 is gone'$"):
        run(tmp_path, Restoring(), IterableImages(Refusing(), size=8), **SETTINGS)
    with pytest.raises(TrainingError, match="dataset source was 'Refusing' and is 'Stateful'"):
        run(tmp_path, Restoring(), SETS["stateful"](), **SETTINGS)


def test_the_documentation_s_example_runs(tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs/training.md").read_text(encoding="utf-8")
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "IterableImages(" in block)
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["map", "stream"]
