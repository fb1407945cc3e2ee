"""The training loop that all stages share. Everything random is a function of (seed, step, rank): resume is exact."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from tqdm import tqdm

from pmrf_blocks.training.checkpoint import latest_checkpoint
from pmrf_blocks.training.config import TrainConfig
from pmrf_blocks.training.errors import TrainingError
from pmrf_blocks.training.inspection import inspect_images
from pmrf_blocks.training.lock import locked
from pmrf_blocks.training.processes import processes
from pmrf_blocks.training.records import Records
from pmrf_blocks.training.run import Run
from pmrf_blocks.training.tasks import Task

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, over quota, over the limit of a file's size


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
        folder: run folder: records (see records.py), checkpoints/, and, when all steps are done, export/.
        validation: its items go one by one to `task.scores`, in fixed order with fixed seeds.
        record: what config.json keeps beside `config` (the whole recipe).
        device: 'cpu', 'cuda', ...; None lets accelerate choose.
        resume: continue from the newest whole checkpoint in `folder`; False refuses a folder that has one.
        stop: leave off after this many steps of config.steps; the schedule is still that of the whole.

    Raises DataError, before the first step, where images are missing, unreadable or too small (see inspection.py);
    TrainingError where the run cannot go on, another run has the folder, or what is there is of another run (see
    resuming.py). Ctrl-C and SIGTERM end the step under
    way, save a checkpoint and raise KeyboardInterrupt; the same call then goes on from there.

    Examples:
        >>> import tempfile
        >>> from PIL import Image
        >>> from pmrf_blocks.data import MapImages
        >>> from pmrf_blocks.degradations import Denoising
        >>> task = PosteriorMeanTask(torch.nn.Conv2d(3, 3, 1), Denoising())
        >>> images = MapImages([Image.new("RGB", (16, 16))] * 2, size=16)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     network = fit(TrainConfig(steps=2, batch_size=2), task, images, folder, device="cpu")
        >>> network.training
        False
    """
    everyone, folder = processes(device), Path(folder)
    rank, world = everyone.process_index, everyone.num_processes
    inspect_images(dataset, validation, images_per_step=config.batch_size * world, rank=rank, world=world)
    with locked(folder, everyone):
        records = Records(folder, active=everyone.is_main_process)
        try:
            run = Run(config, task, dataset, records, device=device, resume=resume)
            run.describe(record)
            _train(run, validation, config.steps if stop is None else min(stop, config.steps))
            run.finish()
        except TrainingError as error:
            with contextlib.suppress(OSError):
                records.note(f"ended: {error}")
            raise
        except OSError as error:
            if error.errno not in FULL:
                raise
            last = latest_checkpoint(folder / "checkpoints")
            raise TrainingError(f"no room to write in {folder}: {error}; the last good checkpoint is {last}") from error
        finally:
            records.close()
    return run.network


def _train(run: Run, validation: Dataset | None, end: int) -> None:
    config, batches = run.config, run.batches()
    bar = tqdm(
        total=config.steps, initial=run.step, desc=run.folder.name, unit="step", file=sys.stderr, dynamic_ncols=True,
        disable=not run.is_main, mininterval=1.0,
    )  # fmt: skip
    with run.asked, bar:
        while run.step < end and not run.interrupted:
            run.update(batches)
            bar.update()
            done = run.step == end
            if run.step % config.log_every == 0 or done:
                bar.set_postfix({name: f"{value:.4g}" for name, value in run.log().items()})
            if validation is not None and (run.step % config.validate_every == 0 or done):
                run.validate(validation)
            if run.step % config.checkpoint_every == 0:
                run.checkpoint()
        run.checkpoint()
    if run.interrupted:
        run.accelerator.wait_for_everyone()  # a launcher ends all processes as soon as one has ended
        run.records.note(f"interrupted at step {run.step}; the same command goes on from there")
        raise KeyboardInterrupt
