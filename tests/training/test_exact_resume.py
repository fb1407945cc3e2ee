"""A run that was killed, interrupted or damaged equals, once resumed, one that was not: bit for bit."""

import os
import random
import resource
import signal
import time

import pytest
import torch
from training_toys import Children, Dropping, Points, Regression, config, fit, latest_checkpoint, outcome, stats, train

from pmrf_blocks.training import TrainingError
from pmrf_blocks.training.checkpoint import load_checkpoint

LONG = {"steps": 60, "checkpoint_every": 2}


@pytest.mark.parametrize(("world", "workers"), [(1, 1), (2, 0)])
def test_killed_at_random_moments(tmp_path, world, workers):
    """Weights, average, optimiser, schedule, everything random in every process, cursor and statistics."""
    options = {"world": world, **LONG}
    assert Children(train, tmp_path / "whole", workers=workers, **options).wait() == [0] * world
    moments = random.Random(time.time_ns())
    for longest in (0.8, 0.3):  # 60 steps of at least 0.06 s: neither is over by then
        moment = moments.uniform(0, longest)
        children = Children(train, tmp_path / "killed", stall=0.06, **options)
        assert children.signal_after(moment) == [-signal.SIGKILL] * world, f"killed after {moment} s"
    assert Children(train, tmp_path / "killed", **options).wait() == [0] * world
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")


@pytest.mark.parametrize(("world", "ranks"), [(1, [0]), (2, [1])])
def test_interrupted_saves_ends_and_goes_on(tmp_path, world, ranks):
    """Ctrl-C that reaches one process ends all of them at one step."""
    folder = tmp_path / "interrupted"
    children = Children(train, folder, world=world, stall=0.06, steps=60, checkpoint_every=1000)
    codes = children.signal_after(0.2, signal.SIGINT, ranks)
    assert all(code != 0 for code in codes)
    saved = load_checkpoint(latest_checkpoint(folder / "checkpoints"))["step"]
    assert 0 < saved < 60
    assert f"interrupted at step {saved}" in (folder / "log.txt").read_text()
    assert not (folder / "export").exists()
    assert Children(train, folder, world=world, steps=60, checkpoint_every=1000).wait() == [0] * world
    assert Children(train, tmp_path / "whole", world=world, steps=60, checkpoint_every=1000).wait() == [0] * world
    assert outcome(folder) == outcome(tmp_path / "whole")


def killed_while_writing(folder, started):
    whole, writes = torch.save, []

    def save(state, file):
        writes.append(state)
        whole(state, file)
        if len(writes) == 2:
            file.truncate(file.tell() // 2)
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = save
    train(folder, started)


def test_killed_while_a_checkpoint_is_written(tmp_path):
    folder = tmp_path / "killed"
    assert Children(killed_while_writing, folder).wait() == [-signal.SIGKILL]
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert names[0] == "step-00000004.pt"
    assert names[1].startswith("step-00000008.")
    assert names[1].endswith(".tmp")
    assert Children(train, folder).wait() == [0]
    assert "resumed from step-00000004.pt" in (folder / "log.txt").read_text()
    assert not list((folder / "checkpoints").glob("*.tmp"))
    assert Children(train, tmp_path / "whole").wait() == [0]
    assert outcome(folder) == outcome(tmp_path / "whole")


def cut(path):
    path.write_bytes(path.read_bytes()[:-500])


def flip(path):
    """One bit of a weight: the file's shape stays whole."""
    data = bytearray(path.read_bytes())
    weight = load_checkpoint(path)["network"]["0.weight"].numpy().tobytes()
    data[data.index(weight) + 1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, flip])
def test_a_damaged_checkpoint_is_passed_over_with_a_note(tmp_path, damage):
    def run(name):
        fit(config(), Dropping(), Points(), tmp_path / name, validation=Points(), device="cpu")

    run("whole")
    run("damaged")
    damage(latest_checkpoint(tmp_path / "damaged/checkpoints"))
    run("damaged")
    log = (tmp_path / "damaged/log.txt").read_text()
    assert "cannot read checkpoint" in log
    assert "taking step-00000008.pt" in log
    assert (tmp_path / "damaged/checkpoints/step-00000012.damaged").exists()
    assert outcome(tmp_path / "damaged") == outcome(tmp_path / "whole")
    for path in (tmp_path / "damaged/checkpoints").glob("*.pt"):
        damage(path)
    with pytest.raises(TrainingError, match=r"none of the 2 checkpoints in .* can be read"):
        run("damaged")


@pytest.mark.parametrize("everything", [False, True])
def test_a_full_disk_ends_the_run_and_leaves_the_last_checkpoint(tmp_path, everything):
    """No file of this process may grow beyond the limit from step 6 on; the checkpoints of 5 kB do."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Filling(Regression):
        def forward(self, batch, generator):
            if self.call == 5:
                resource.setrlimit(resource.RLIMIT_FSIZE, (10 if everything else 2000, before[1]))
            return super().forward(batch, generator)

    try:
        with pytest.raises(TrainingError, match=r"(cannot|no room to) write .* last good checkpoint is .*00000004\.pt"):
            fit(config(), Filling(), Points(), tmp_path, device="cpu")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000004.pt"]
    assert load_checkpoint(latest_checkpoint(tmp_path / "checkpoints"))["step"] == 4
    fit(config(), Regression(), Points(), tmp_path, device="cpu")
    fit(config(), Regression(), Points(), tmp_path / "whole", device="cpu")
    assert outcome(tmp_path) == outcome(tmp_path / "whole")


def test_several_processes_draw_what_one_draws_in_as_many_micro_batches(tmp_path):
    """From their generators and from the global ones: noise, dropout."""
    assert Children(train, tmp_path / "two", world=2, batch_size=2, log_every=1).wait() == [0, 0]
    assert Children(train, tmp_path / "one", batch_size=4, accumulate=2, log_every=1).wait() == [0]
    for name in ("loss", "noise", "drawn", "batch"):
        one, two = ([line[name] for line in stats(tmp_path / run) if name in line] for run in ("one", "two"))
        assert one == pytest.approx(two, rel=1e-5)
        assert len(set(one)) == len(one) == 12
