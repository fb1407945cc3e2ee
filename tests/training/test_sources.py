"""Sets of others train: four steps, killed in the third, resumed, equal a run that was not, bit for bit."""

import re
import shutil
import signal
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from source_toys import SETS, SETTINGS, Pipeline, Restoring, Stateful, picture, said, train
from training_toys import Children, outcome, run, stats

from pmrf_blocks.data import IterableImages
from pmrf_blocks.data.stream_batches import StreamBatches
from pmrf_blocks.training import TrainingError
from pmrf_blocks.training.checkpoint import steps_done


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


def test_the_documentation_s_example_runs(tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs/training.md").read_text(encoding="utf-8")
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "IterableImages(" in block)
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["map", "stream"]
