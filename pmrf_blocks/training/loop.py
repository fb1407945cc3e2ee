"""The training loop that all stages share. Everything random is a function of (seed, step, rank): resume is exact."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from pmrf_blocks.data import DataError, EndlessBatches
from pmrf_blocks.seeding import derive_generator
from pmrf_blocks.training.checkpoint import CheckpointError, latest_checkpoint, load_checkpoint, save_checkpoint
from pmrf_blocks.training.config import TrainConfig
from pmrf_blocks.training.ema import EMA
from pmrf_blocks.training.environment import describe_environment
from pmrf_blocks.training.schedule import learning_rate
from pmrf_blocks.training.tasks import Task


class TrainingError(RuntimeError):
    """A run that cannot go on, with the reason and the last good checkpoint."""


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
        folder: run folder: config.json, stats.jsonl, checkpoints/, and export/ with the averaged weights.
        validation: items 0..len-1 are given to `task.validate` in fixed order with fixed seeds.
        record: what config.json keeps beside `config` (the whole recipe).
        device: 'cpu', 'cuda', ...; None lets accelerate choose.
        resume: continue from the newest checkpoint in `folder`; False refuses a folder that has one.
        stop: leave off after this many steps of config.steps; the schedule is still that of the whole.
    """
    try:
        from accelerate import Accelerator
    except ImportError:
        raise ImportError("training needs accelerate: pip install 'pmrf-blocks[train]'") from None
    folder = Path(folder)
    if len(dataset) == 0:  # type: ignore[arg-type]
        raise DataError("0 images to train on")
    accelerator = Accelerator(
        mixed_precision="no",  # autocast is ours: accelerate fixes its own once for the whole process
        cpu=device is not None and torch.device(device).type == "cpu",
    )
    autocast = torch.autocast(accelerator.device.type, torch.bfloat16, enabled=config.precision == "bf16")
    rank, world = accelerator.process_index, accelerator.num_processes
    task.to(accelerator.device)
    if config.channels_last:
        task.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network = task.network
    optimizer = torch.optim.AdamW(
        task.parameter_groups(config.lr, config.weight_decay), lr=config.lr, betas=config.betas, eps=config.eps
    )
    scales = [group["lr"] / config.lr for group in optimizer.param_groups]
    ema = EMA(network, config.ema)
    step, skipped, in_a_row = 0, 0, 0
    end = config.steps if stop is None else min(stop, config.steps)
    last = latest_checkpoint(folder / "checkpoints")
    if last is not None:
        if not resume:
            raise TrainingError(f"{folder} already holds {last.name}; choose another folder or resume")
        state = load_checkpoint(last)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        ema.load_state_dict(state["ema"])
        step, skipped = state["step"], state["skipped"]
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        whole = {"train": dataclasses.asdict(config), "recipe": record, "environment": describe_environment()}
        (folder / "config.json").write_text(json.dumps(whole, indent=2, default=str) + "\n")
    wrapped = accelerator.prepare_model(task, device_placement=False)
    micro = config.batch_size // config.accumulate
    batches = EndlessBatches(
        len(dataset),  # type: ignore[arg-type]
        micro,
        seed=config.seed,
        start=step * config.accumulate,
        rank=rank,
        world_size=world,
    )
    loader: Iterator = iter(DataLoader(dataset, batch_sampler=batches, num_workers=config.workers))

    def checkpoint() -> None:
        if accelerator.is_main_process:
            state = {
                "step": step,
                "skipped": skipped,
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "ema": ema.state_dict(),
            }
            save_checkpoint(folder / "checkpoints", step, state)

    def log(values: dict[str, float | int]) -> None:
        if accelerator.is_main_process:
            with open(folder / "stats.jsonl", "a") as file:
                file.write(json.dumps({"step": step, "images": step * config.batch_size * world, **values}) + "\n")

    bar = tqdm(
        total=config.steps, initial=step, desc=folder.name, unit="step", file=sys.stderr, dynamic_ncols=True,
        disable=not accelerator.is_main_process, mininterval=1.0,
    )  # fmt: skip
    since, since_step = time.perf_counter(), step
    sums: dict[str, float] = {}
    try:
        while step < end:
            rate = learning_rate(config, step)
            for group, scale in zip(optimizer.param_groups, scales):
                group["lr"] = rate * scale
            task.train()
            values: dict[str, Tensor] = {}
            for part in range(config.accumulate):
                batch = _to(next(loader), accelerator.device)
                generator = derive_generator(config.seed, "step", step, part, rank, device=accelerator.device)
                last_part = part == config.accumulate - 1
                with nullcontext() if last_part else accelerator.no_sync(wrapped):
                    with autocast:
                        loss, parts = wrapped(batch, generator)
                    (loss / config.accumulate).backward()
                for name, value in {"loss": loss, **parts}.items():
                    values[name] = values.get(name, torch.zeros(())) + value.detach().float().cpu() / config.accumulate
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip or math.inf)
            if math.isfinite(float(values["loss"])) and math.isfinite(float(norm)):
                optimizer.step()
                ema.update(network)
                in_a_row = 0
            else:
                skipped, in_a_row = skipped + 1, in_a_row + 1
                if in_a_row >= config.max_skipped:
                    good = latest_checkpoint(folder / "checkpoints")
                    raise TrainingError(
                        f"{in_a_row} updates in a row had a loss or gradient that is not finite, at step {step}; "
                        f"the last good checkpoint is {good}"
                    )
            optimizer.zero_grad(set_to_none=True)
            step += 1
            bar.update()
            for name, value in {**values, "gradient_norm": norm}.items():
                sums[name] = sums.get(name, 0.0) + float(value)
            if step % config.log_every == 0 or step == end:
                seconds, count = time.perf_counter() - since, step - since_step
                speed = count * config.batch_size * world / seconds
                means = {name: total / count for name, total in sums.items()}
                log({**means, "lr": rate, "images_per_second": speed, "skipped": skipped})
                bar.set_postfix({"loss": f"{means['loss']:.4g}", "images/s": f"{speed:.1f}"})
                sums, since, since_step = {}, time.perf_counter(), step
            if validation is not None and (step % config.validate_every == 0 or step == end):
                with ema.applied(network):
                    task.eval()
                    with torch.no_grad(), autocast:
                        log({f"val_{name}": value for name, value in task.validate(validation, config.seed).items()})
            if step % config.checkpoint_every == 0 and step < end:
                checkpoint()
        checkpoint()
    except KeyboardInterrupt:
        checkpoint()
        bar.write(f"stopped at step {step}; run again to go on from there", file=sys.stderr)
        raise
    except CheckpointError as error:
        raise TrainingError(str(error)) from error
    finally:
        bar.close()
    with ema.applied(network):
        averaged = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(averaged)
    return network.eval()


def _to(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    return type(batch)(_to(item, device) for item in batch)
