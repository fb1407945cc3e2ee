"""The state of one run, and what happens to it: one update, a checkpoint, a line in the log, a validation."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pmrf_blocks.data import EndlessBatches
from pmrf_blocks.seeding import derive_generator
from pmrf_blocks.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from pmrf_blocks.training.config import TrainConfig
from pmrf_blocks.training.ema import EMA
from pmrf_blocks.training.environment import describe_environment
from pmrf_blocks.training.schedule import learning_rate
from pmrf_blocks.training.tasks import Task


class TrainingError(RuntimeError):
    """A run that cannot go on, with the reason and the last good checkpoint."""


class Run:
    """A task with its optimiser, averaged weights and step count, kept in a folder.

    Arguments are those of fit(); making one resumes from the newest checkpoint in `folder`.
    """

    def __init__(
        self, config: TrainConfig, task: Task, folder: Path, *, device: str | torch.device | None, resume: bool
    ) -> None:
        try:
            from accelerate import Accelerator
        except ImportError:
            raise ImportError("training needs accelerate: pip install 'pmrf-blocks[train]'") from None
        self.config, self.task, self.folder = config, task, folder
        self.accelerator = Accelerator(
            mixed_precision="no",  # autocast is ours: accelerate fixes its own once for the whole process
            cpu=device is not None and torch.device(device).type == "cpu",
        )
        self.device, self.world = self.accelerator.device, self.accelerator.num_processes
        self.is_main = self.accelerator.is_main_process
        self.autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bf16")
        task.to(self.device)
        if config.channels_last:
            task.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = task.network
        groups = task.parameter_groups(config.lr, config.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps)
        self.scales = [group["lr"] / config.lr for group in self.optimizer.param_groups]
        self.ema = EMA(self.network, config.ema)
        self.step, self.skipped, self.skipped_in_a_row = 0, 0, 0
        last = latest_checkpoint(folder / "checkpoints")
        if last is not None:
            if not resume:
                raise TrainingError(f"{folder} already holds {last.name}; choose another folder or resume")
            state = load_checkpoint(last)
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.ema.load_state_dict(state["ema"])
            self.step, self.skipped = state["step"], state["skipped"]
        self.wrapped = self.accelerator.prepare_model(task, device_placement=False)

    def describe(self, record: Mapping[str, Any] | None) -> None:
        """Write config.json: this stage's settings, the whole recipe, and the machine."""
        if self.is_main:
            self.folder.mkdir(parents=True, exist_ok=True)
            whole = {"train": dataclasses.asdict(self.config), "recipe": record, "environment": describe_environment()}
            (self.folder / "config.json").write_text(json.dumps(whole, indent=2, default=str) + "\n")

    def batches(self, dataset: Dataset) -> Iterator[Any]:
        """Batches without end, from where this run stands in its order of the images."""
        sampler = EndlessBatches(
            len(dataset),  # type: ignore[arg-type]
            self.config.batch_size // self.config.accumulate,
            seed=self.config.seed,
            start=self.step * self.config.accumulate,
            rank=self.accelerator.process_index,
            world_size=self.world,
        )
        return iter(DataLoader(dataset, batch_sampler=sampler, num_workers=self.config.workers))

    def update(self, batches: Iterator[Any]) -> dict[str, float]:
        """One optimiser step; the loss, its parts and the gradient's norm. TrainingError after too many skipped."""
        config = self.config
        rate = learning_rate(config, self.step)
        for group, scale in zip(self.optimizer.param_groups, self.scales):
            group["lr"] = rate * scale
        self.task.train()
        values: dict[str, float] = {}
        for part in range(config.accumulate):
            for name, value in self._backward(next(batches), part).items():
                values[name] = values.get(name, 0.0) + float(value.detach()) / config.accumulate
        norm = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip or math.inf))
        if math.isfinite(values["loss"]) and math.isfinite(norm):
            self.optimizer.step()
            self.ema.update(self.network)
            self.skipped_in_a_row = 0
        else:
            self._skip()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return {**values, "gradient_norm": norm, "lr": rate}

    def _backward(self, batch: Any, part: int) -> dict[str, Tensor]:
        rank = self.accelerator.process_index
        generator = derive_generator(self.config.seed, "step", self.step, part, rank, device=self.device)
        synchronise = part == self.config.accumulate - 1
        with nullcontext() if synchronise else self.accelerator.no_sync(self.wrapped):
            with self.autocast:
                loss, parts = self.wrapped(to_device(batch, self.device), generator)
            (loss / self.config.accumulate).backward()
        return {"loss": loss, **parts}

    def _skip(self) -> None:
        self.skipped, self.skipped_in_a_row = self.skipped + 1, self.skipped_in_a_row + 1
        if self.skipped_in_a_row >= self.config.max_skipped:
            good = latest_checkpoint(self.folder / "checkpoints")
            raise TrainingError(
                f"{self.skipped_in_a_row} updates in a row had a loss or gradient that is not finite, "
                f"at step {self.step}; the last good checkpoint is {good}"
            )

    def validate(self, validation: Dataset) -> None:
        """Scores of the averaged weights, into the log."""
        with self.ema.applied(self.network):
            self.task.eval()
            with torch.no_grad(), self.autocast:
                scores = self.task.validate(validation, self.config.seed)
        self.log({f"val_{name}": value for name, value in scores.items()})

    def log(self, values: Mapping[str, float | int]) -> None:
        """One line of stats.jsonl."""
        if self.is_main:
            images = self.step * self.config.batch_size * self.world
            with open(self.folder / "stats.jsonl", "a") as file:
                file.write(json.dumps({"step": self.step, "images": images, **values}) + "\n")

    def checkpoint(self) -> None:
        if self.is_main:
            state = {
                "step": self.step,
                "skipped": self.skipped,
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "ema": self.ema.state_dict(),
            }
            save_checkpoint(self.folder / "checkpoints", self.step, state)


def to_device(batch: Any, device: torch.device) -> Any:
    """Tensors of a batch, also within lists and tuples, on `device`."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    return type(batch)(to_device(item, device) for item in batch)
