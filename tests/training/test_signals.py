"""SIGTERM to the whole process group, reading workers among it, as clusters and terminals send signals."""

import os
import signal
import sys
import time

import pytest
from training_toys import Children, latest_checkpoint, outcome, train

from pmrf_blocks.training.checkpoint import load_checkpoint


def train_in_a_group(folder, started, **options):
    os.setpgrp()
    try:
        train(folder, started, **options)
    except KeyboardInterrupt:
        sys.exit(130)  # as recipes do


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_group_saves_the_last_whole_step(tmp_path, number):
    options = {"steps": 60, "checkpoint_every": 1000, "workers": 2}
    children = Children(train_in_a_group, tmp_path / "stopped", stall=0.06, **options)
    assert children.started.wait(120)
    time.sleep(0.2)
    os.killpg(children.processes[0].pid, number)
    assert children.wait() == [130]
    saved = load_checkpoint(latest_checkpoint(tmp_path / "stopped/checkpoints"))["step"]
    assert 0 < saved < 60
    assert f"interrupted at step {saved}" in (tmp_path / "stopped/log.txt").read_text()
    assert Children(train, tmp_path / "stopped", **options).wait() == [0]
    assert Children(train, tmp_path / "whole", **options).wait() == [0]
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")


def test_a_second_signal_ends_at_once(tmp_path):
    """In the middle of a step that would take a minute."""
    children = Children(train_in_a_group, tmp_path, stall=60.0, workers=2)
    assert children.started.wait(120)
    for _ in range(2):
        os.killpg(children.processes[0].pid, signal.SIGTERM)
        time.sleep(0.6)
    begin = time.monotonic()
    (code,) = children.wait()
    assert time.monotonic() - begin < 30
    assert code not in (0, None, -signal.SIGKILL)
    assert latest_checkpoint(tmp_path / "checkpoints") is None
