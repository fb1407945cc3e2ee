"""pmrf-blocks evaluate, from the command line to files and exit statuses."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pmrf_blocks.cli import main
from pmrf_blocks.metrics.protocols import PROTOCOLS


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, spread in (("gt", 1), ("ours", 9), ("theirs", 30), ("lq", 60)):
        (tmp_path / folder).mkdir()
        for seed in range(3):
            image = np.random.default_rng(seed).integers(60, 190, (20, 24, 3))
            noise = np.random.default_rng(100 + seed).integers(-spread, spread, image.shape)
            Image.fromarray((image + noise).astype(np.uint8)).save(tmp_path / folder / f"{seed}.png")
    return tmp_path


def evaluate(*arguments):
    return main(["evaluate", *arguments, "--device", "cpu", "--bootstrap", "50"])


def test_rows_are_methods_and_the_protocol_is_told(folders, capsys):
    call = ["ours", "theirs", "--reference", "gt", "--degraded", "lq", "--metrics", "psnr,ssim"]
    assert evaluate(*call) == 0
    out = capsys.readouterr().out
    rows = [line.split()[0] for line in out.splitlines()[:4]]
    assert rows == ["method", "input", "ours", "theirs"]
    assert f"protocol images ({PROTOCOLS['images'].digest})" in out
    assert "95 % bootstrap interval of the mean over images, 50 resamples, seed 0" in out
    assert evaluate(*call, "--format", "csv") == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    scores = [float(row["psnr"]) for row in table]
    assert scores[1] > scores[2] > scores[0] > 10
    assert float(table[0]["psnr_low"]) < scores[0] < float(table[0]["psnr_high"])
    assert table[0]["hash"] == PROTOCOLS["images"].digest


def test_the_same_line_gives_the_same_file(folders):
    for name in ("one.json", "two.json"):
        call = ("ours", "--reference", "gt", "--metrics", "psnr,ms_ssim", "--format", "json", "--output", name)
        assert evaluate(*call) == 1  # ms_ssim is not available for 20 pixels
    assert (folders / "one.json").read_bytes() == (folders / "two.json").read_bytes()
    document = json.loads((folders / "one.json").read_text())
    scores = document["methods"][0]["scores"]
    assert scores["ms_ssim"]["not_available"].startswith("needs images of more than 160 pixels")
    assert scores["psnr"]["interval"][0] < scores["psnr"]["value"] < scores["psnr"]["interval"][1]
    assert (document["seed"], document["resamples"]) == (0, 50)
    assert document["protocol"]["name"] == "images"


def test_per_image_files(folders):
    call = ("ours", "theirs", "--reference", "gt", "--metrics", "psnr", "--output", "t.txt")
    assert evaluate(*call, "--per-image", "each.csv") == 0
    rows = list(csv.DictReader((folders / "each.csv").open()))
    assert [(row["method"], row["image"]) for row in rows[:4]] == [
        *(("ours", str(i)) for i in range(3)),
        ("theirs", "0"),
    ]
    assert evaluate(*call, "--per-image", "each.json") == 0
    again = json.loads((folders / "each.json").read_text())
    assert [row["psnr"] for row in again] == pytest.approx([float(row["psnr"]) for row in rows])
    assert not list(folders.glob("*.partial"))


def test_reference_statistics_are_told_by_name_and_hash(folders, capsys):
    call = ("ours", "--metrics", "fd_efficientnet_lite0", "--bootstrap", "0", "--format", "json")
    assert evaluate(*call, "--reference", "gt", "--save-statistics", "kept", "--statistics-name", "faces") == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)["references"]["efficientnet_lite0"]
    assert told.startswith("faces, 3 images, ")
    assert f"kept/efficientnet_lite0.npz: {told}" in captured.err
    assert evaluate(*call, "--statistics", "kept/efficientnet_lite0.npz") == 0
    assert json.loads(capsys.readouterr().out)["references"] == {"efficientnet_lite0": told}
    assert evaluate(*call[:-2], "--reference", "gt") == 0
    assert f"reference of efficientnet_lite0: {told.replace('faces', 'gt')}\n" in capsys.readouterr().out


def test_metrics_without_their_folder_are_left_out_unless_named(folders, capsys):
    assert evaluate("ours", "--posterior-mean", "theirs") == 0
    captured = capsys.readouterr()
    assert "IndRMSE" in captured.out
    assert "PSNR" not in captured.out
    assert "not asked for, as the folder they compare with was not given: psnr" in captured.err
    assert evaluate("ours", "--posterior-mean", "theirs", "--metrics", "psnr") == 1
    assert "PSNR: not available: give --reference" in capsys.readouterr().out


def test_markdown_names_what_is_not_available(folders, capsys):
    call = ["ours", "--reference", "gt", "--metrics", "psnr,deg,fid,lpips", "--format", "markdown"]
    assert evaluate(*call, "--weights", "arcface=absent.pth") == 1
    out = capsys.readouterr().out
    assert out.splitlines()[1] == "|---|---:|---:|---:|---:|---:|"
    assert "- Deg: not available: no such file: absent.pth" in out
    assert "- FID: not available: give the file pt_inception-2015-12-05-6726825d.pth" in out
    assert "| not available |" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent", "--reference", "gt"], "no such file or folder: absent"),
        (["ours", "--reference", "gt", "--protocol", "mine"], "protocol must be one of 'images'"),
        (["ours", "--reference", "gt", "--metrics", "psnr,speed"], "metric must be one of 'psnr'"),
        (["ours", "--reference", "gt", "--protocol", "celeba-test"], "is 20x24; the protocol celeba-test"),
        (["ours"], "nothing to measure: give --reference or --posterior-mean"),
        (["ours", "ours", "--reference", "gt", "--metrics", "psnr"], "ours is given twice"),
        (["ours", "--reference", "gt", "--per-image", "x.txt"], "must end in .csv or .json"),
        (["ours", "--reference", "gt", "--output", "gt"], "gt is a folder"),
        (["ours", "--reference", "gt", "--device", "abacus"], "device 'abacus' cannot be used"),
        (["ours", "--statistics", "gt/0.png"], "does not hold reference statistics"),
        (["ours", "--reference", "gt", "--metrics", "psnr", "--save-statistics", "s"], "so there are none"),
        (["ours", "--reference", "gt", "--statistics-name", "x"], "--statistics-name is for --save-statistics"),
    ],
)
def test_bad_arguments(folders, capsys, arguments, message):
    assert main(["evaluate", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("arguments", [["--weights", "arcface"], ["--format", "tex"], ["--bootstrap", "-1"]])
def test_arguments_that_do_not_parse(arguments):
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", "x", *arguments])
    assert caught.value.code == 2


def test_help_is_quick_and_imports_no_torch():
    script = (
        "import sys; from pmrf_blocks.cli import main\ntry: main(['evaluate', '--help'])\nexcept SystemExit: pass\n"
    )
    script += "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert all(name in run.stdout for name in PROTOCOLS)
