"""The model card: what is known of the weights that ship, from their provenance and their run folders."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.make.bundled_card import CARD, card, known_now, stage_folder
from pmrf_blocks.restoration import BUNDLED

ROOT = Path(__file__).resolve().parents[2]


def test_the_card_says_what_is_known():
    provenance = json.loads((CARD.parent / "provenance.json").read_text())
    text = card(provenance, {})
    for stage, known in provenance["stages"].items():
        assert f"| {stage} | {known['steps']:,} | {known['images']:,} |" in text


def test_help_only_helps():
    before = (CARD.read_bytes(), CARD.stat().st_mtime_ns)
    line = [sys.executable, "-m", "docs.make.bundled_card", "--help"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "--runs" in done.stdout
    assert (CARD.read_bytes(), CARD.stat().st_mtime_ns) == before


def test_run_folders_are_read_anew(tmp_path):
    for name in ("flow", "pixel-0123abcd"):
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        environment = {"accelerator": None, "processor": "P", "threads": 2, "revision": "abc"}
        environment["versions"] = {"torch": "2", "accelerate": "1"}
        (run / "config.json").write_text(json.dumps({"train": {"batch_size": 4}, "environment": environment}))
        lines = [{"step": 5, "images": 20, "images_per_second": 10.0}, {"step": 5, "images": 20, "val_psnr": 25.0}]
        (run / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    known = known_now(BUNDLED, tmp_path / "runs", None)
    old = json.loads((BUNDLED / "provenance.json").read_text())
    assert known["parameters"] == old["parameters"]
    assert known["stages"]["estimator"] == old["stages"]["estimator"]
    for stage in ("flow", "pixel"):
        assert (known["stages"][stage]["steps"], known["stages"][stage]["revision"]) == (5, "abc")
    shutil.copytree(tmp_path / "runs" / "flow", tmp_path / "runs" / "flow-1")
    with pytest.raises(ValueError, match="several runs of flow: flow, flow-1"):
        stage_folder(tmp_path / "runs", "flow")
    with pytest.raises(ValueError, match="holds no run folder"):
        known_now(BUNDLED, tmp_path, None)
