"""A recipe on two processes, started by torchrun and by `accelerate launch`."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from pmrf_blocks.restoration import PMRF, LatentPMRF, load_restorer

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ACCELERATE = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
              "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]  # fmt: skip


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def test_the_documented_line_distributes(image_folders, tmp_path):
    """`torchrun --nproc-per-node 2 -m recipes.sim_vae --scale debug`, without --device: one run, one set of records."""
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "recipes.sim_vae"]
    line += ["--scale", "debug", "--data", str(image_folders), "--runs", str(tmp_path)]
    environment = {**os.environ, "PET_MASTER_PORT": free_port(), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = tmp_path.iterdir()
    assert done.stdout.strip().splitlines() == [str(run)]  # one process speaks
    assert json.loads((run / "config.json").read_text())["environment"]["processes"] == 2
    steps = [json.loads(text)["step"] for text in (run / "stats.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert (run / "model/model.safetensors").exists()


def test_two_launchers_train_as_two_machines_would(image_folders, tmp_path):
    line = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    line += ["--master-addr", "127.0.0.1", "--master-port", free_port()]
    recipe = ["-m", "recipes.posterior_mean", "--scale", "debug", "--threads", "1", "--device", "cpu"]
    recipe += ["--data", str(image_folders), "--runs", str(tmp_path)]
    nodes = [
        subprocess.Popen([*line, "--node-rank", rank, *recipe], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for rank in ("0", "1")
    ]
    said = [node.communicate(timeout=300)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0]
    (run,) = tmp_path.iterdir()
    assert said == [f"{run}\n", ""]  # one process speaks
    assert json.loads((run / "config.json").read_text())["environment"]["processes"] == 2


def launched(launcher, data, runs, *arguments):
    line = [sys.executable, "-m", *launcher, "-m", "recipes.bundled", "--data", str(data), "--runs", str(runs)]
    line += ["--scale", "debug", "--threads", "1", "--device", "cpu", *arguments]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    first, *rest = done.stdout.strip().splitlines()  # one process speaks
    assert rest == ([] if "--stage" in arguments else [f"pmrf-blocks restore --model {first} PHOTO --output restored"])
    return Path(first)


def test_both_launchers_train_the_same(image_folders, tmp_path):
    """The whole chain by torchrun: stages, shared pairs, exports. Its estimator equals that of the other launcher."""
    runs = tmp_path / "torchrun"
    pipeline = launched(TORCHRUN, image_folders, runs)
    trained = [path.parent for path in runs.glob("*/stats.jsonl")]
    kinds = ["autoencoder", "decoder", "estimator", "estimator", "flow", "flow", "reflow"]
    assert sorted(run.name.split("-")[0] for run in trained) == kinds
    for run in trained:
        assert json.loads((run / "config.json").read_text())["environment"]["processes"] == 2
        lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
        assert lines[-1]["step"] == 4
        assert lines[-1]["images"] == 4 * 2
    assert isinstance(load_restorer(pipeline), LatentPMRF)
    assert isinstance(load_restorer(pipeline / "pixel"), PMRF)
    assert not [path for path in runs.rglob("*") if path.name.endswith((".tmp", ".new", ".old"))]
    other = launched(ACCELERATE, image_folders, tmp_path / "accelerate", "--stage", "estimator")
    weights = "model/model.safetensors"
    assert (other / weights).read_bytes() == (runs / other.name / weights).read_bytes()
