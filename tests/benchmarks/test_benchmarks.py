"""Every benchmark runs at tiny sizes; the page says what the numbers say."""

import json
import math
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from benchmarks import BENCHMARKS, report, running
from benchmarks.__main__ import main
from benchmarks.apart import rows_apart
from benchmarks.comparison import Missing, Settings
from benchmarks.on_cuda import ON_CUDA
from benchmarks.running import rows_here

ROOT = Path(__file__).resolve().parents[2]
RATES = {"operations": {"float32": 2e11, "bfloat16": 1e9}, "bytes": 1e10}
TINY = Settings(torch.device("cpu"), tiny=True, repetitions=3, seconds=0.2)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Every benchmark, in float32: not every processor has bfloat16. One thread: tiny work is not worth two."""
    folder, threads = tmp_path_factory.mktemp("results"), torch.get_num_threads()
    arguments = ["run", "--tiny", "--device", "cpu", "--dtypes", "float32", "--threads", "1"]
    try:
        assert main([*arguments, "--output", str(folder / "all.json")]) == 0
    finally:
        torch.set_num_threads(threads)
    return folder


def test_every_benchmark_measures_ours_and_checks_what_can_be_equal(results):
    record = json.loads((results / "all.json").read_text())
    assert {row["benchmark"] for row in record["rows"]} == set(BENCHMARKS)
    assert list(record["left_out"]) == ["bfloat16"]
    assert "GFLOP/s in it" in record["left_out"]["bfloat16"]
    assert record["environment"]["versions"]["torch"] == torch.__version__
    assert record["rates"]["bytes"] > 1e8
    for row in record["rows"]:
        ours = row["measured"][row["ours"]]
        assert 0 < ours["best"] <= ours["median"]
        assert ours["quartiles"][0] <= ours["median"] <= ours["quartiles"][1]
        assert bool(row["unequal"]) == (row["tolerance"] is None)
        if row["tolerance"] is not None:
            assert set(row["distances"]) == set(row["measured"]) - {row["ours"]}


def test_every_subject_for_a_gpu_is_measured(results):
    """The page says of each whether it ran on one, so that its list must be whole."""
    works = {name: [] for name in ON_CUDA}
    for row in json.loads((results / "all.json").read_text())["rows"]:
        works.setdefault(row["benchmark"], []).append(row["work"])
    for name, work in ON_CUDA.items():
        for subject in work.subjects:
            assert any(title.startswith(subject) for title in works[name]), subject
        assert all(title.startswith(work.subjects) for title in works[name]), works[name]


def test_every_triton_kernel_is_held_against_its_compiled_formula(results):
    rows = json.loads((results / "all.json").read_text())["rows"]
    subjects = {
        "layer_norm": "channel layer norm + SiLU, ", "rms_norm": "AdaRMSNorm", "rotary": "rotary embedding",
        "neighborhood": "neighborhood attention 8x8",
    }  # fmt: skip
    assert {file.stem.removesuffix("_triton") for file in (ROOT / "pmrf_blocks/kernels").glob("*_triton.py")} == set(
        subjects
    )
    for beginning in subjects.values():
        mine = [row for row in rows if row["benchmark"].startswith("cuda_") and row["work"].startswith(beginning)]
        assert {row["work"].rpartition(", ")[2] for row in mine} == {"forward", "forward + backward"}
        for row in mine:
            (compiled,) = (name for name in row["left_out"] if name.endswith(", compiled"))
            assert row["left_out"][compiled] == "compiled for CUDA alone"
            # The formula as it is takes part in the comparison here, and so does the kernel, in Triton's interpreter.
            formula = "F.layer_norm on the permuted map, F.silu" if compiled == "the same, compiled" else "the formula"
            assert row["distances"][formula] < 1e-5


def test_the_page(results, tmp_path):
    page = tmp_path / "page.md"
    assert main(["report", "--results", str(results), "--output", str(page)]) == 0
    text = page.read_text()
    assert "these numbers mean nothing" in text
    for row in json.loads((results / "all.json").read_text())["rows"]:
        assert f"**{row['work']}**" in text
    assert main(["report", "--results", str(tmp_path / "none"), "--output", str(page)]) == 0
    assert "Nothing has been measured yet." in page.read_text()


def test_without_cuda_its_microbenchmarks_are_left_out(tmp_path, capsys, monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    output = tmp_path / "cuda.json"
    monkeypatch.setattr(running, "measure_rates", lambda settings: RATES)
    names = ["cuda_attention", "cuda_norms", "cuda_resize", "cuda_models"]
    assert main(["run", *names, "--device", "cpu", "--minutes", "9", "--output", str(output)]) == 0
    left_out = json.loads(output.read_text())["left_out"]
    assert {left_out[name] for name in names} == {"needs CUDA"}
    assert "cuda_attention: left out: needs CUDA" in capsys.readouterr().err


def test_no_row_is_begun_when_the_time_is_up(tmp_path):
    output = tmp_path / "late.json"
    command = ["run", "startup", "--tiny", "--device", "cpu", "--dtypes", "float32", "--minutes", "0"]
    assert main([*command, "--output", str(output)]) == 0
    record = json.loads(output.read_text())
    assert record["rows"] == []
    assert "share of 0 minutes was over" in record["left_out"]["startup"]


def test_an_unknown_name(capsys):
    assert main(["run", "speed", "--tiny"]) == 2
    assert "benchmark must be one of 'startup', 'attention'" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA works here")
def test_a_device_that_does_not_work(capsys, tmp_path):
    assert main(["run", "startup", "--tiny", "--device", "cuda", "--output", str(tmp_path / "x.json")]) == 2
    assert "'cuda' does not work here" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--threads", "0"], ["--repetitions", "-1"], ["--seconds", "x"]])
def test_numbers_that_make_no_sense(arguments, capsys):
    with pytest.raises(SystemExit):
        main(["run", "startup", *arguments])
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA works here")
def test_the_list_for_a_gpu_needs_one(capsys, tmp_path):
    output, page = tmp_path / "x.json", tmp_path / "page.md"
    assert main(["cuda", "--output", str(output), "--page", str(page)]) == 2
    assert "'cuda' does not work here" in capsys.readouterr().err
    assert not output.exists()
    assert not page.exists()


def test_the_list_for_a_gpu_writes_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "measure_rates", lambda settings: RATES)
    output, page = tmp_path / "x.json", tmp_path / "page.md"
    command = ["cuda", "--tiny", "--device", "cpu", "--dtypes", "float32", "--minutes", "0"]
    assert main([*command, "--output", str(output), "--page", str(page)]) == 0
    record = json.loads(output.read_text())
    assert list(record["left_out"]) == ["bfloat16", *ON_CUDA]
    assert f"- {record['date']}, revision" in page.read_text()


def test_onnxruntime_is_left_out_with_a_reason_where_it_is_missing(results):
    rows = [row for row in json.loads((results / "all.json").read_text())["rows"] if row["benchmark"] == "exported"]
    assert [row["work"].split(" to ")[0].split(" of ")[0] for row in rows] == [
        "the bundled decoder", "the bundled restoration",
    ]  # fmt: skip
    for row in rows:
        assert row["operations"] > 0
        if find_spec("onnxruntime") and find_spec("onnxscript"):
            assert row["distances"]["onnxruntime"] < 1e-3
        else:
            assert "pip install pmrf-blocks[onnx]" in row["left_out"]["onnxruntime"]


def test_the_page_says_how_busy_the_machine_was():
    record = {"environment": {"cores": 2}}
    assert report.busy(record) == report.busy({**record, "load": [0.1, 3.0, 3.0]}) == ""
    assert "3.2 processes wanted its 2 cores" in report.busy({**record, "load": [3.2, 0.1, 0.1]})


def test_results_that_cannot_be_read_or_written(tmp_path, capsys):
    page = str(tmp_path / "page.md")
    (tmp_path / "broken.json").write_text("{")
    assert main(["report", "--results", str(tmp_path), "--output", page]) == 2
    assert "broken.json is no JSON" in capsys.readouterr().err
    under_a_file = str(tmp_path / "broken.json" / "x.json")
    assert main(["run", "startup", "--tiny", "--device", "cpu", "--output", under_a_file]) == 2
    assert "broken.json" in capsys.readouterr().err


def test_a_benchmark_in_a_process_of_its_own(capfd):
    rows = list(rows_apart(rows_here, ("startup", TINY, math.inf), math.inf))
    assert [row["work"] for row in rows] == [row["work"] for row in rows_here("startup", TINY, math.inf)]
    with pytest.raises(Missing, match="share of inf minutes was over"):
        list(rows_apart(rows_here, ("startup", TINY, 0.0), math.inf))
    with pytest.raises(Missing, match="its process ended with status 1"):
        list(rows_apart(rows_here, ("no_such_benchmark", TINY, math.inf), math.inf))
    with pytest.raises(Missing, match="its time was over in the midst of a row"):
        list(rows_apart(time.sleep, (3600,), 0.0))
    assert "No module named 'benchmarks.no_such_benchmark'" in capfd.readouterr().err


def test_from_the_command_line(tmp_path):
    command = [sys.executable, "-m", "pmrf_blocks.cli", "benchmark", "run", "startup", "--tiny", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [*command, "--output", str(tmp_path / "a.json")], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    assert run.returncode == 0, run.stderr
    assert len(json.loads((tmp_path / "a.json").read_text())["rows"]) == 2
    away = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert away.returncode == 2
    assert "run it in a checkout" in away.stderr
