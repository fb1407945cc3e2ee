"""Work in pieces: jobs wait for one another, end in time, and what they made comes back as it was."""

import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from pmrf_blocks.experiments import pieces
from pmrf_blocks.experiments.pieces import Job, Packing, keep, pack, restore, watch


def python(text, *needs):
    return Job([sys.executable, "-c", text], needs)


def test_jobs_wait_for_what_they_need(tmp_path):
    made = tmp_path / "made"
    jobs = {
        "second": python(f"assert open({str(made)!r}).read() == 'x'; print('read')", "first"),
        "first": python(f"open({str(made)!r}, 'w').write('x')"),
        "fails": python("raise SystemExit(3)"),
        "never": python("print('no')", "fails"),
    }
    watch(jobs, tmp_path / "logs", time.monotonic() + 120)
    states = {name: job.state for name, job in jobs.items()}
    assert states == {"first": "done", "second": "done", "fails": "failed (3)", "never": "not begun"}
    assert (tmp_path / "logs" / "second.txt").read_text() == "read\n"
    assert not (tmp_path / "logs" / "never.txt").exists()


def test_the_end_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "STOP", 2.0)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    jobs = {"deaf": python(deaf), "waits": python("", "deaf")}
    watch(jobs, tmp_path, time.monotonic() + 3)
    assert jobs["deaf"].process.wait(60) < 0
    assert jobs["waits"].state == "not begun"


def test_runs_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PART", 1000)
    runs = tmp_path / "runs"
    for name in ("done/model", "done/checkpoints", "broken/checkpoints", "broken/export"):
        (runs / name).mkdir(parents=True)
    weights = {"a": torch.randn(40, 10), "n": torch.arange(3)}
    save_file(weights, runs / "done/model/model.safetensors")
    for name in ("done/checkpoints/step-00000002.pt", "broken/checkpoints/step-00000001.pt", "broken/export/x"):
        (runs / name).write_bytes(b"left out")
    (runs / "broken/checkpoints/step-00000002.pt").write_bytes(b"newest")
    (runs / "degraded-1.npy").write_bytes(b"left out")
    keep(runs, tmp_path / "out")
    parts = sorted((tmp_path / "out").iterdir())
    assert len(parts) > 1
    assert all(part.stat().st_size <= 1000 for part in parts)
    restore(tmp_path / "out", tmp_path / "back")
    found = sorted(path.relative_to(tmp_path / "back").as_posix() for path in (tmp_path / "back").rglob("*.*"))
    assert found == ["broken/checkpoints/step-00000002.pt", "done/model/model.safetensors"]
    back = load_file(tmp_path / "back/done/model/model.safetensors")
    assert torch.equal(back["a"], weights["a"].half())
    assert torch.equal(back["n"], weights["n"])
    with pytest.raises(ValueError, match=r"no runs\.tar\.00"):
        restore(tmp_path, tmp_path / "back")


def test_packed_images_are_small_and_near(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(3):
        smooth = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
            (80, 60), Image.Resampling.BICUBIC
        )
        (tmp_path / "faces").mkdir(exist_ok=True)
        smooth.save(tmp_path / "faces" / f"{number}.png")
    parts = (Packing("faces", 30, 95, first=2), Packing("absent", 30, 95, optional=True))
    size = pack(parts, tmp_path, tmp_path / "packed")
    files = sorted((tmp_path / "packed" / "faces").iterdir())
    assert [file.name for file in files] == ["0.jpg", "1.jpg"]
    assert size == sum(file.stat().st_size for file in files)
    near = Image.open(tmp_path / "faces" / "0.png").resize((40, 30), Image.Resampling.LANCZOS)
    difference = np.abs(np.asarray(near, int) - np.asarray(Image.open(files[0]), int))
    assert difference.mean() < 2
    pack((Packing("faces", 60, None),), tmp_path, tmp_path / "exact")
    assert np.array_equal(Image.open(tmp_path / "exact/faces/2.png"), Image.open(tmp_path / "faces/2.png"))
