"""The CPU twin of the work for an accelerator: all stages of the model in pieces, broken off and gone on with."""

import runpy
import sys

import pytest

from pmrf_blocks.data import find_images
from recipes import accelerator


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["accelerator", *map(str, arguments)])
        status = 0
        try:
            runpy.run_module("recipes.accelerator", run_name="__main__")
        except SystemExit as ended:
            status = ended.code
        return status, capsys.readouterr().out

    return run


def test_the_twin_trains_every_stage(run, image_folders, tmp_path):
    packed, line = tmp_path / "packed", ("--scale", "debug", "--device", "cpu", "--workers", 0, "--items", "model")
    assert run("pack", "--data", image_folders, "--packed", packed)[0] == 0
    assert len(find_images(packed / "faces256/train")) == 5
    here = ("--packed", packed, "--runs", tmp_path / "runs", "--output", tmp_path / "out")
    status, told = run("run", *here, *line, "--minutes", 10)
    assert status == 0, told
    assert [row.split(" | ")[1] for row in told.strip().splitlines()[2:]] == ["done"] * 7
    assert "val_psnr" in told
    # Back at home, and from there to the next machine, which finds everything done.
    assert run("unpack", "--output", tmp_path / "out", "--runs", tmp_path / "home")[0] == 0
    assert len(list((tmp_path / "home").glob("*/model/model.safetensors"))) == 7
    again = (
        "--packed",
        packed,
        "--runs",
        tmp_path / "next",
        "--output",
        tmp_path / "out2",
        "--before",
        tmp_path / "out",
    )
    status, told = run("run", *again, *line, "--minutes", 10)
    assert status == 0
    assert not list((tmp_path / "next").glob("*/checkpoints"))


def test_items(run, tmp_path):
    status, _ = run("run", "--packed", tmp_path, "--runs", tmp_path / "runs", "--items", "nothing")
    assert "must be among 'checks', 'model', 'benchmarks', 'tables'; got 'nothing'" in str(status)
    for jobs in accelerator.items(accelerator.Arguments("run")).values():
        assert all(need in jobs for job in jobs.values() for need in job.needs)
