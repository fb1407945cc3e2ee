"""The debug twins of all recipes on two processes, which exchange gradients by gloo, end where one process ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
import twins
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]


def weights(folder):
    return {name: x for path in sorted((folder / "model").glob("*.safetensors")) for name, x in load_file(path).items()}


def test_two_processes_train_what_one_trains(image_folders, tmp_path, one_thread):
    """One with as many micro-batches: noise, times, degradations and crops depend on an image's place in the batch."""
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", twins.__file__]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    both = subprocess.Popen(
        [*line, str(image_folders), str(tmp_path / "two")], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    twins.train(image_folders, tmp_path / "one", accumulate=2)
    _, said = both.communicate(timeout=900)
    assert both.returncode == 0, said[-3000:]
    names = list(twins.twins())
    assert len(names) > 30
    for name in names:
        told = json.loads((tmp_path / "two" / name / "config.json").read_text())
        assert told["environment"]["processes"] == 2
        one, two = weights(tmp_path / "one" / name), weights(tmp_path / "two" / name)
        assert one.keys() == two.keys()
        far = [weight for weight, x in one.items() if not torch.allclose(two[weight], x, rtol=1e-4, atol=1e-6)]
        assert not far, name
