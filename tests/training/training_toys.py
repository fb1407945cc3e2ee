"""Tiny runs, and child processes that train them: forked from one server that has imported torch already."""

import json
import multiprocessing
import os
import random
import signal
import socket
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pmrf_blocks.restoration import PMRF
from pmrf_blocks.training import TrainConfig, fit
from pmrf_blocks.training.checkpoint import latest_checkpoint, load_checkpoint
from pmrf_blocks.training.tasks import Task

TIMING = ("images_per_second", "memory_gib")
forks = multiprocessing.get_context("forkserver")
PRELOADED = ["accelerate", "accelerate.tracking", "torch._dynamo", "torch._inductor.config", "torch.onnx", "psutil"]
forks.set_forkserver_preload([*PRELOADED, "numpy.random", "pmrf_blocks.training"])


class Points(torch.utils.data.Dataset):
    """Items that depend on index and seed, as crops do."""

    def __len__(self):
        return 11

    def __getitem__(self, key):
        index, seed = key
        return torch.randn(4, generator=torch.Generator().manual_seed(seed)) + index


class Regression(Task):
    """Draws from its generator; `call` counts its forward passes."""

    def __init__(self, network=None):
        torch.manual_seed(0)
        super().__init__(network or nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)))
        self.call = 0

    def forward(self, batch, generator):
        self.call += 1
        noise = torch.randn(len(batch), 1, generator=generator)
        loss = (self.network(batch) - batch.sum(1, keepdim=True) - noise).square().mean()
        return loss, {"noise": noise.mean()}


class Dropping(Regression):
    """Draws from every global generator too, as dropout of others does; waits `stall` seconds a step."""

    def __init__(self, stall=0.0):
        torch.manual_seed(0)
        super().__init__(nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, 1)))
        self.stall = stall

    def forward(self, batch, generator):
        time.sleep(self.stall)
        loss, parts = super().forward(batch, generator)
        drawn = random.random() + np.random.rand()  # noqa: NPY002
        return loss, {**parts, "drawn": torch.tensor(drawn), "batch": batch.mean()}


def config(**changes) -> TrainConfig:
    return TrainConfig(
        **{
            "steps": 12,
            "batch_size": 4,
            "lr": 1e-2,
            "schedule": "cosine",
            "log_every": 3,
            "validate_every": 6,
            "checkpoint_every": 4,
            "trackers": (),
            **changes,
        }
    )


class Halve(nn.Module):
    """A network and a velocity of one weight."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x, t=None):
        return self.scale * x


def darken(x, *, generator):
    return 0.5 * x, x


def in_pixels(velocity, estimator=None, source_noise=0.0):
    """A PMRF."""
    estimator = Halve() if estimator is None else estimator
    return PMRF(estimator=estimator, velocity=velocity, size=8, source_noise=source_noise, steps=2)


class Children:
    """`world` processes that call target(folder, started, **options), as a launcher would start them."""

    def __init__(self, target, folder, *, world=1, **options):
        self.started = forks.Event()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.processes = [
            forks.Process(target=_child, args=(target, str(folder), self.started, rank, world, port, options))
            for rank in range(world)
        ]
        for process in self.processes:
            process.start()

    def wait(self, seconds=120):
        """Exit codes."""
        for process in self.processes:
            process.join(seconds)
            if process.exitcode is None:
                process.kill()
        return [process.exitcode for process in self.processes]

    def signal_after(self, seconds, number=signal.SIGKILL, ranks=None):
        """Wait until training has begun, then so many seconds more, send the signal, and wait for the end."""
        assert self.started.wait(120)
        time.sleep(seconds)
        for rank, process in enumerate(self.processes):
            if ranks is None or rank in ranks:
                os.kill(process.pid, number)
        return self.wait()


def _child(target, folder, started, rank, world, port, options):
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # for workers that read data: else they start a server too
    if world > 1:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in place.items()})
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # progress bars
    target(Path(folder), started, **options)


def train(folder, started, *, stall=0.0, workers=0, **changes):
    class Announced(Dropping):
        def forward(self, batch, generator):
            started.set()
            return super().forward(batch, generator)

    fit(config(workers=workers, **changes), Announced(stall), Points(), folder, validation=Points(), device="cpu")


def outcome(folder):
    """All that a run has left, without what depends on the clock."""
    state = load_checkpoint(latest_checkpoint(folder / "checkpoints"))
    state["meter"].pop("seconds")
    lines = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
    for line in lines:
        for name in TIMING:
            line.pop(name, None)
    return {"state": flat(state), "stats": lines, "export": (folder / "export/model.safetensors").read_bytes()}


def flat(tree, name=""):
    """Leaves of nested dicts and lists by name, tensors as bytes: equal only bit for bit."""
    if isinstance(tree, dict):
        return {k: v for key, value in tree.items() for k, v in flat(value, f"{name}/{key}").items()}
    if isinstance(tree, (list, tuple)):
        return {k: v for key, value in enumerate(tree) for k, v in flat(value, f"{name}/{key}").items()}
    return {name: tree.numpy().tobytes() if isinstance(tree, torch.Tensor) else tree}


def run(folder, task=None, data=None, **options):
    settings = {name: options.pop(name) for name in list(options) if name not in ("validation", "stop")}
    data = Points() if data is None else data
    return fit(config(**settings), task or Regression(), data, folder, device="cpu", **options)


def last(folder):
    return load_checkpoint(latest_checkpoint(folder / "checkpoints"))


def stats(folder):
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])
