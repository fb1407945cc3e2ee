"""What cannot be computed or written costs one line; what was computed is not lost."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from pmrf_blocks.cli import main
from pmrf_blocks.metrics.evaluation import Evaluator

pytestmark = pytest.mark.usefixtures("unchanged")
ALIGNED = ("restore", "--aligned")
NO_MEMORY = {
    "CPU": RuntimeError("[enforce fail at alloc_cpu.cpp:128] . DefaultCPUAllocator: can't allocate memory: you tried"),
    "Python": MemoryError(),
    "CUDA": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nMore lines."),
}


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in range(5):
        array = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(array).save(folder / f"{seed}.png")
    return folder


@pytest.mark.parametrize("error", NO_MEMORY.values(), ids=NO_MEMORY)
def test_a_batch_that_does_not_fit_is_tried_in_halves(error, album, tmp_path, capsys, monkeypatch, unchanged):
    sizes, whole = [], unchanged.restore

    def limited(self, images, **options):
        sizes.append(len(images))
        if len(images) > 2:
            raise error
        return whole(self, images, **options)

    monkeypatch.setattr(unchanged, "restore", limited)
    assert main([*ALIGNED, str(album), "-o", str(tmp_path / "out"), "--batch", "4"]) == 0
    assert sizes == [4, 2, 2, 1]
    assert len(os.listdir(tmp_path / "out")) == 5
    assert "skipped" not in capsys.readouterr().err


@pytest.mark.parametrize("command", [ALIGNED, ("degrade",)], ids=lambda command: command[0])
@pytest.mark.parametrize("error", NO_MEMORY.values(), ids=NO_MEMORY)
def test_one_that_never_fits_costs_one_line(command, error, album, tmp_path, capsys, monkeypatch, unchanged):
    from pmrf_blocks.commands import degrade

    whole, large = unchanged.restore, np.asarray(Image.open(album / "3.png"))

    def refused(images):
        if any(np.array_equal((x * 255).round().byte().permute(1, 2, 0).numpy(), large) for x in images):
            raise error

    def limited(self, images, **options):
        refused(images)
        return whole(self, images, **options)

    def degradation(x, generator):
        refused(x)
        return x, x

    monkeypatch.setattr(unchanged, "restore", limited)
    monkeypatch.setattr(degrade, "build_degradation", lambda name: degradation)
    assert main([*command, str(album), "-o", str(tmp_path / "out")]) == 1
    lines = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if "skipped" in line]
    assert len(lines) == 1
    assert f"{album / '3.png'}: does not fit the memory" in lines[0]
    assert sorted(os.listdir(tmp_path / "out")) == ["0.png", "1.png", "2.png", "4.png"]


def test_evaluation_goes_on_image_by_image(album, capsys, monkeypatch):
    prepare = Evaluator._prepare

    def limited(self, tensor):
        if len(tensor) > 1:
            raise NO_MEMORY["CPU"]
        return prepare(self, tensor)

    monkeypatch.setattr(Evaluator, "_prepare", limited)
    call = ["evaluate", str(album), "--reference", str(album), "--metrics", "psnr", "--format", "json"]
    assert main(call) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["methods"][0]["scores"]["psnr"]["images"] == 5
    assert "going on image by image" in captured.err


def place_a_file(path):
    path.write_text("here", encoding="utf-8")


def place_a_loop(path):
    path.symlink_to(path)


def place_without_permission(path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    path.mkdir(mode=0o500)


@pytest.mark.parametrize("place", [place_a_file, place_a_loop, place_without_permission])
@pytest.mark.parametrize("command", [ALIGNED, ("degrade",), ("evaluate", "--metrics", "psnr"), ("prepare", "folder")])
def test_a_target_that_cannot_be_is_one_line(place, command, album, tmp_path, capsys):
    place(tmp_path / "there")
    call = [*command, str(album), "--output", str(tmp_path / "there" / "x" / "y")]
    status = main([*call, "--reference", str(album)] if command[0] == "evaluate" else call)
    assert status in (1, 2)
    lines = [line for line in capsys.readouterr().err.splitlines() if line and "warning" not in line]
    assert len(lines) == 1, lines
    assert str(tmp_path / "there") in lines[0]


def test_what_evaluate_cannot_save_goes_to_stdout(album, tmp_path, capsys, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    files = ["--output", str(tmp_path / "table.csv"), "--per-image", str(tmp_path / "each.csv"), "--format", "csv"]
    assert main(["evaluate", str(album), "--reference", str(album), "--metrics", "psnr", *files]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("psnr") >= 2
    assert len(captured.out.splitlines()) == 2 + 6
    assert captured.err.count("No space left on device") == 2
    assert os.listdir(tmp_path) == ["in"]


@pytest.mark.parametrize("command", [ALIGNED, ("degrade",)], ids=lambda command: command[0])
def test_a_full_disk_costs_a_line_a_picture_and_leaves_nothing(command, album, tmp_path, capsys, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main([*command, str(album), "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("No space left on device") == 5
    assert os.listdir(tmp_path / "out") == []


class Closed(io.TextIOWrapper):
    """A stdout whose reader has gone."""

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("command", [ALIGNED, ("degrade",), ("evaluate",), ("prepare", "folder"), ("info",)])
def test_a_reader_that_has_gone_ends_it_quietly(command, album, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Closed(io.BytesIO()))
    call = list(command) if command == ("info",) else [*command, str(album)]
    if command == ("evaluate",):
        call += ["--reference", str(album), "--metrics", "psnr"]
    elif command != ("info",):
        call += ["--output", str(tmp_path / "out")]
    assert main(call) == 141
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "Broken pipe" not in error


def test_help_into_head():
    script = "from pmrf_blocks.cli import main; import sys; sys.exit(main(['--help']))"
    call = f'"{sys.executable}" -c "{script}" | head -c 1; exit "${{PIPESTATUS[0]}}"'
    run = subprocess.run(["bash", "-c", call], capture_output=True, text=True, timeout=120)
    assert run.returncode in (0, 141)  # the pipe may have taken all of it
    assert run.stderr == ""
