"""A resumed run tells the truth: what changes takes effect, what must stay is refused by name, both are in the log."""

import json
import math
import os
import signal
import time

import pytest
import torch
from torch import nn
from training_toys import Children, Points, Regression, config, fit, latest_checkpoint, train

from pmrf_blocks.training import TrainingError
from pmrf_blocks.training.checkpoint import load_checkpoint, steps_done


def run(folder, task=None, data=None, **settings):
    return fit(config(**settings), task or Regression(), data or Points(), folder, device="cpu")


@pytest.mark.parametrize(
    ("change", "entry"),
    [({"weight_decay": 0.5}, "weight_decay"), ({"betas": (0.5, 0.6)}, "betas"), ({"eps": 1e-2}, "eps")],
)
def test_changed_settings_of_the_optimiser_take_effect(tmp_path, change, entry):
    run(tmp_path / "changed", steps=4)
    changed = run(tmp_path / "changed", steps=8, **change)
    group = load_checkpoint(latest_checkpoint(tmp_path / "changed/checkpoints"))["optimizer"]["param_groups"][0]
    assert group[entry] == change[entry]
    run(tmp_path / "plain", steps=4)
    plain = run(tmp_path / "plain", steps=8)
    assert not all(torch.equal(a, b) for a, b in zip(changed.parameters(), plain.parameters()))
    assert f"{entry} was" in (tmp_path / "changed/log.txt").read_text()


class More(Points):
    def __len__(self):
        return 12


class Other(Points):
    pass


class Named(Points):
    def __init__(self, crop):
        self.crop = crop

    def identity(self):
        return {"crop": self.crop}


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        ({}, {"seed": 1}, "seed was 0 and is 1"),
        ({}, {"batch_size": 2}, r"images an update \(batch_size times processes\) was 4 and is 2"),
        ({}, {"data": More()}, "dataset items was 11 and is 12"),
        ({}, {"data": Other()}, "dataset kind was 'Points' and is 'Other'"),
        ({"data": Named(8)}, {"data": Named(16)}, "dataset crop was 8 and is 16"),
        ({}, {"steps": 2}, "steps is 2, but .* has 4 behind it"),
        ({}, {"task": Regression(nn.Linear(4, 1))}, "does not fit Linear.*of another network: take another folder"),
    ],
)
def test_what_must_stay_is_refused_by_name(tmp_path, first, then, message):
    run(tmp_path, steps=4, **first)
    before = latest_checkpoint(tmp_path / "checkpoints").read_bytes()
    with pytest.raises(TrainingError, match=message) as error:
        run(tmp_path, **{"steps": 8, **first, **then})
    assert "\n" not in str(error.value)
    assert str(error.value) in (tmp_path / "log.txt").read_text()
    assert latest_checkpoint(tmp_path / "checkpoints").read_bytes() == before
    assert steps_done(tmp_path) == 4


def test_groups_of_other_parameters_are_refused(tmp_path):
    class Halves(Regression):
        def parameter_groups(self, lr, weight_decay):
            first, *rest = super().parameter_groups(lr, weight_decay)[0]["params"]
            return [{"params": rest, "lr": lr}, {"params": [first], "lr": lr}]

    class Reversed(Regression):
        def parameter_groups(self, lr, weight_decay):
            return [{"params": super().parameter_groups(lr, weight_decay)[0]["params"][::-1], "lr": lr}]

    run(tmp_path, steps=4)
    for task in (Halves(), Reversed()):
        with pytest.raises(TrainingError, match=r"groups in .* are others than this run's"):
            run(tmp_path, task, steps=8)


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"train": 3}', "[" * 100_000, '{"train": NaN}'])
def test_a_damaged_side_file_does_not_stop_a_run(tmp_path, content):
    run(tmp_path, steps=4)
    (tmp_path / "config.json").write_text(content)
    (tmp_path / "stats.jsonl").write_bytes(b"\xff\x00[{\n" + (tmp_path / "stats.jsonl").read_bytes())
    (tmp_path / "checkpoints/step-latest.pt").write_bytes(b"foreign")
    (tmp_path / "checkpoints/notes.txt").write_text("foreign")
    run(tmp_path, steps=8)
    assert json.loads((tmp_path / "config.json").read_text())["train"]["steps"] == 8
    assert [json.loads(line)["step"] for line in (tmp_path / "stats.jsonl").read_text().splitlines()] == [3, 4, 6, 8]


def test_foreign_files_under_a_checkpoint_s_name_are_passed_over(tmp_path):
    run(tmp_path, steps=4)
    torch.save({"weights": torch.zeros(3)}, tmp_path / "checkpoints/step-00000006.pt")
    (tmp_path / "checkpoints/step-00000007.pt").write_bytes(b"")
    (tmp_path / "checkpoints/step-00000009.pt").write_bytes((tmp_path / "checkpoints/step-00000004.pt").read_bytes())
    assert steps_done(tmp_path) == 4
    run(tmp_path, steps=8)
    log = (tmp_path / "log.txt").read_text()
    assert "it is no run's, without 'step'" in log
    assert "it is of step 4" in log
    assert "resumed from step-00000004.pt" in log


@pytest.mark.parametrize("number", ["EMFILE", "EIO", "ENOMEM", "EACCES"])
def test_a_checkpoint_is_condemned_by_its_content_alone(tmp_path, monkeypatch, number):
    import errno

    run(tmp_path, steps=4)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    whole = open

    def failing(path, *arguments, **options):
        if str(path).endswith("00004.pt"):
            raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))
        return whole(path, *arguments, **options)

    monkeypatch.setattr("builtins.open", failing)
    with pytest.raises(TrainingError, match=r"cannot read checkpoint .*; it is left as it is"):
        run(tmp_path, steps=8)
    monkeypatch.undo()
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == names


def test_statistics_that_are_not_finite_are_json(tmp_path):
    class Broken(Regression):
        def forward(self, batch, generator):
            loss, parts = super().forward(batch, generator)
            return loss, {**parts, "broken": torch.tensor(math.nan), "endless": torch.tensor(math.inf)}

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    run(tmp_path, Broken(), steps=4)
    for line in (tmp_path / "stats.jsonl").read_text().splitlines():
        values = json.loads(line, parse_constant=refuse)
        assert values["broken"] is None
        assert values["endless"] is None


def test_a_live_folder_is_refused_and_a_dead_process_holds_none(tmp_path):
    children = Children(train, tmp_path, stall=0.1, workers=1, steps=1000, checkpoint_every=1)
    while latest_checkpoint(tmp_path / "checkpoints") is None:
        assert children.processes[0].is_alive()
        time.sleep(0.02)
    (process,) = children.processes
    with pytest.raises(TrainingError, match=rf"is in use by process {process.pid} on "):
        run(tmp_path, steps=1000, checkpoint_every=1)
    os.kill(process.pid, signal.SIGKILL)
    assert children.wait() == [-signal.SIGKILL]
    with pytest.raises(TrainingError, match="dataset kind was 'Points' and is 'Other'"):
        run(tmp_path, data=Other(), steps=1000)  # it is let in: a worker that lives on holds no lock
