"""The training loop that all stages share. Everything random is a function of (seed, step, rank): resume is exact."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from tqdm import tqdm

from pmrf_blocks.data import DataError
from pmrf_blocks.training.checkpoint import CheckpointError
from pmrf_blocks.training.config import TrainConfig
from pmrf_blocks.training.run import Run, TrainingError
from pmrf_blocks.training.tasks import Task


def fit(
    config: TrainConfig,
    task: Task,
    dataset: Dataset,
    folder: str | Path,
    *,
    validation: Dataset | None = None,
    record: Mapping[str, Any] | None = None,
    device: str | torch.device | None = None,
    resume: bool = True,
    stop: int | None = None,
) -> nn.Module:
    """Train `task.network` and return it in eval mode with its averaged weights.

    Arguments:
        dataset: map-style; its items are addressed by SampleKey and make up the batches that `task` takes.
        folder: run folder: config.json, stats.jsonl and checkpoints/.
        validation: items 0..len-1 are given to `task.validate` in fixed order with fixed seeds.
        record: what config.json keeps beside `config` (the whole recipe).
        device: 'cpu', 'cuda', ...; None lets accelerate choose.
        resume: continue from the newest checkpoint in `folder`; False refuses a folder that has one.
        stop: leave off after this many steps of config.steps; the schedule is still that of the whole.

    Raises DataError without images, TrainingError where the run cannot go on. Ctrl-C saves a checkpoint first.
    """
    if len(dataset) == 0:  # type: ignore[arg-type]
        raise DataError("0 images to train on")
    run = Run(config, task, Path(folder), device=device, resume=resume)
    run.describe(record)
    end = config.steps if stop is None else min(stop, config.steps)
    bar = tqdm(
        total=config.steps, initial=run.step, desc=run.folder.name, unit="step", file=sys.stderr, dynamic_ncols=True,
        disable=not run.is_main, mininterval=1.0,
    )  # fmt: skip
    try:
        _train(run, dataset, validation, end, bar)
        run.checkpoint()
    except KeyboardInterrupt:
        run.checkpoint()
        bar.write(f"stopped at step {run.step}; run again to go on from there", file=sys.stderr)
        raise
    except CheckpointError as error:
        raise TrainingError(str(error)) from error
    finally:
        bar.close()
    with run.ema.applied(run.network):
        averaged = {name: tensor.detach().clone() for name, tensor in run.network.state_dict().items()}
    run.network.load_state_dict(averaged)
    return run.network.eval()


def _train(run: Run, dataset: Dataset, validation: Dataset | None, end: int, bar: tqdm) -> None:
    config, batches = run.config, run.batches(dataset)
    sums: dict[str, float] = {}
    since, since_step = time.perf_counter(), run.step
    while run.step < end:
        values = run.update(batches)
        bar.update()
        rate = values.pop("lr")
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value
        if run.step % config.log_every == 0 or run.step == end:
            count = run.step - since_step
            speed = count * config.batch_size * run.world / (time.perf_counter() - since)
            means = {name: total / count for name, total in sums.items()}
            run.log({**means, "lr": rate, "images_per_second": speed, "skipped": run.skipped})
            bar.set_postfix({"loss": f"{means['loss']:.4g}", "images/s": f"{speed:.1f}"})
            sums, since, since_step = {}, time.perf_counter(), run.step
        if validation is not None and (run.step % config.validate_every == 0 or run.step == end):
            run.validate(validation)
            since = time.perf_counter() if since_step == run.step else since
        if run.step % config.checkpoint_every == 0 and run.step < end:
            run.checkpoint()
