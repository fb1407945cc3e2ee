"""A disk that takes no more at the end of the work: one line, nothing truncated, the numbers on stdout."""

import contextlib
import json
import resource

import pytest

from pmrf_blocks.cli import main

SCORES = {"fid": {"value": 20.0}, "psnr": {"value": 25.0}}


@contextlib.contextmanager
def full_disk():
    """No file of this process may grow beyond four bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def inputs(tmp_path):
    for name in ("a", "b"):
        methods = [{"method": name.upper(), "scores": SCORES}]
        (tmp_path / f"{name}.json").write_text(json.dumps({"methods": methods}))
        (tmp_path / name).mkdir()
        lines = [{"step": step, "images": 4 * step, "val_fid": 100.0 / step} for step in (1, 2, 3)]
        (tmp_path / name / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


@pytest.mark.parametrize("output", ["t.csv", "t.md", "t.png", "t.svg"])
def test_plane(inputs, capsys, output):
    pytest.importorskip("matplotlib")
    line = ["plane", str(inputs / "a.json"), str(inputs / "b.json")]
    assert main(line) == 0
    table = capsys.readouterr().out
    with full_disk():
        assert main([*line, "--output", str(inputs / output)]) == 1
    said = capsys.readouterr()
    assert said.out == table
    assert f"cannot write {inputs / output}: File too large" in said.err
    assert len(said.err.splitlines()) == 1
    assert not [path for path in inputs.iterdir() if path.name.startswith("t.")]


def test_convergence(inputs, capsys):
    pytest.importorskip("matplotlib")
    figure = inputs / "figure.png"
    line = ["convergence", str(inputs / "a"), str(inputs / "b"), "--score", "val_fid", "--json"]
    assert main([*line, "--output", str(figure)]) == 0
    numbers, drawn = capsys.readouterr().out, figure.read_bytes()
    with full_disk():
        assert main([*line, "--output", str(figure), "--overwrite"]) == 1
    said = capsys.readouterr()
    assert said.out == numbers
    assert len(said.err.splitlines()) == 1
    assert figure.read_bytes() == drawn
