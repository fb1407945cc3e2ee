"""The state of one run, and what happens to it: one update, a checkpoint, a line in the log, a validation."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from pmrf_blocks.seeding import derive_generator, seeded
from pmrf_blocks.training.checkpoint import latest_checkpoint, load_newest, prune, save_checkpoint, step_of
from pmrf_blocks.training.config import TrainConfig
from pmrf_blocks.training.ema import EMA
from pmrf_blocks.training.environment import describe_environment
from pmrf_blocks.training.errors import TrainingError
from pmrf_blocks.training.export import export
from pmrf_blocks.training.feeding import Feed
from pmrf_blocks.training.guard import Guard
from pmrf_blocks.training.interruption import Interruption
from pmrf_blocks.training.precision import bfloat16_where
from pmrf_blocks.training.preparation import prepare_modules
from pmrf_blocks.training.processes import processes, to_device
from pmrf_blocks.training.records import Meter, Records, check_trackers, memory_gib
from pmrf_blocks.training.resuming import load_network, load_optimizer, refuse_changes, run_identity
from pmrf_blocks.training.schedule import learning_rate
from pmrf_blocks.training.tasks import Task
from pmrf_blocks.training.validation import validate


class Run:
    """A task with its optimiser, averaged weights and step count, kept in a folder.

    Arguments are those of fit(); making one resumes from the newest whole checkpoint in the records' folder. `asked`
    is how Ctrl-C reaches it; `interrupted` is true on all processes once it has reached one.
    """

    def __init__(
        self,
        config: TrainConfig,
        task: Task,
        dataset: Dataset,
        records: Records,
        *,
        device: str | torch.device | None,
        resume: bool,
    ) -> None:
        state = processes(device)
        if device is not None and torch.device(device).type != state.device.type:
            raise ValueError(f"device {str(device)!r} was asked for, but this process trains on {state.device}")
        from accelerate import Accelerator

        check_trackers(config.trackers)
        self.config, self.task, self.dataset, self.records = config, task, dataset, records
        self.folder = records.folder
        self.accelerator = Accelerator(
            mixed_precision="no",  # autocast is ours: accelerate fixes its own once for the whole process
            cpu=state.device.type == "cpu",
            log_with=list(config.trackers) or None,
            project_dir=self.folder / "tensorboard",
        )
        self.device, self.world = self.accelerator.device, self.accelerator.num_processes
        self.rank, self.is_main = self.accelerator.process_index, self.accelerator.is_main_process
        self.identity = run_identity(config, dataset, self.world)
        prepare_modules(task, config, self.device)
        self.network = task.network
        groups = task.parameter_groups(config.lr, config.weight_decay)
        fused = self.device.type in ("cpu", "cuda")  # one pass over the weights
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=fused)
        self.scales = [group["lr"] / config.lr for group in self.optimizer.param_groups]
        # The wrapper gives every process the weights of the first, so the average is begun after it.
        self.wrapped = self.accelerator.prepare_model(task, device_placement=False)
        self.ema, self.guard, self.meter = EMA(self.network, config.ema), Guard(config.explosion), Meter()
        self.step, self.asked, self.interrupted = 0, Interruption(), False
        self.feed = Feed(config, dataset, self.accelerator, records.note)
        self._resume(resume)
        self._agree()
        self.autocast = bfloat16_where(self.config.precision == "bf16", self.device)

    def _resume(self, allowed: bool) -> None:
        found = load_newest(self.folder / "checkpoints", self.records.note, rename=self.is_main)
        if found is None:
            self.records.rewind(0)
            return
        path, state = found
        if not allowed:
            raise TrainingError(f"{self.folder} already holds {path.name}; choose another folder or resume")
        if self.config.steps < state["step"]:
            raise TrainingError(f"steps is {self.config.steps}, but {self.folder} has {state['step']} behind it")
        refuse_changes(state.get("identity", {}), self.identity, self.folder)
        load_network(self.network, state["network"], path)
        load_optimizer(self.optimizer, state["optimizer"], path)
        try:
            for part in ("ema", "guard", "meter"):
                getattr(self, part).load_state_dict(state[part])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise TrainingError(f"{path} does not hold this run's {part}: {error}") from None
        self.feed.load(state.get("stream"))
        self.step = state["step"]
        self.records.rewind(self.step)
        if self.is_main:
            prune(self.folder / "checkpoints")
        self.records.note(f"resumed from {path.name}")

    def _agree(self) -> None:
        """All processes must stand at one step: they do not where machines see different run folders."""
        steps = self.accelerator.gather(torch.tensor([self.step], device=self.device)).tolist()
        if len(set(steps)) > 1:
            raise TrainingError(f"processes found checkpoints of steps {steps}: all must see {self.folder} as the same")

    def describe(self, record: Mapping[str, Any] | None) -> None:
        """Write config.json (this stage's settings, the whole recipe, the machine) and start the trackers."""
        place = {"processes": self.world, "device": str(self.device), "precision": self.config.precision}
        environment = {**describe_environment(), **place}
        whole = {"train": dataclasses.asdict(self.config), "recipe": record, "environment": environment}
        self.records.configuration(whole)
        if self.config.trackers:
            self.records.track(self.accelerator, self.step, whole)

    def batches(self) -> Iterator[Any]:
        """Batches without end, from where this run stands in its order of the images."""
        return self.feed.batches(self.step)

    def update(self, batches: Iterator[Any]) -> dict[str, float]:
        """One optimiser step; the loss and its parts (means over all processes) and the gradient's norm.

        TrainingError after too many skipped updates in a row.
        """
        begin = time.perf_counter()
        config, rate = self.config, learning_rate(self.config, self.step)
        for group, scale in zip(self.optimizer.param_groups, self.scales):
            group["lr"] = rate * scale
        self.task.train()
        parts = [self._backward(batches, part) for part in range(config.accumulate)]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip or math.inf)
        values = {**self._mean(parts), "gradient_norm": float(norm)}
        reason = self.guard.refuse(values["loss"], values["gradient_norm"])
        if reason is None:
            self.optimizer.step()
            self.ema.update(self.network)
        else:
            self._skip(reason)
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.meter.add(values, time.perf_counter() - begin)
        return values

    def _backward(self, batches: Iterator[Any], part: int) -> dict[str, Tensor]:
        """The gradients of a micro-batch. What it draws depends on its place in the whole batch, so that one process
        with more micro-batches draws what several draw."""
        place = part * self.world + self.rank
        generator = derive_generator(self.config.seed, "step", self.step, place, 0, device=self.device)
        synchronise = part == self.config.accumulate - 1
        with seeded(self.config.seed, "global", self.step, place, device=self.device):
            batch = to_device(next(batches), self.device)
            with nullcontext() if synchronise else self.accelerator.no_sync(self.wrapped):
                with self.autocast:
                    loss, parts = self.wrapped(batch, generator)
                (loss / self.config.accumulate).backward()
        return {"loss": loss.detach(), **parts}

    def _mean(self, parts: list[dict[str, Tensor]]) -> dict[str, float]:
        """Mean over micro-batches and processes; one exchange, which also spreads the word of an interruption."""
        names = list(parts[0])
        rows = torch.stack([torch.stack([part[name].detach().float() for name in names]) for part in parts])
        asked = rows.new_tensor([float(self.asked.requested)])
        *values, interrupted = self.accelerator.reduce(torch.cat((rows.mean(0), asked)), "mean").tolist()
        self.interrupted = interrupted > 0
        return dict(zip(names, values))

    def _skip(self, reason: str) -> None:
        self.records.note(f"step {self.step} skipped: {reason}")
        if self.guard.in_a_row >= self.config.max_skipped:
            raise TrainingError(
                f"{self.guard.in_a_row} updates in a row were skipped, the last at step {self.step} because {reason}; "
                f"the last good checkpoint is {self.last_checkpoint()}"
            )

    def log(self) -> dict[str, float]:
        """Means since the last line into stats.jsonl; what the progress bar shows of them."""
        means, speed = self.meter.means(), self.meter.steps * self.images_per_step / self.meter.seconds
        line = {
            **means,
            "lr": learning_rate(self.config, self.step - 1),
            "images_per_second": speed,
            "memory_gib": memory_gib(self.device),
            "skipped": self.guard.skipped,
        }
        self.records.numbers(self.step, self.step * self.images_per_step, line)
        self.meter = Meter()
        return {"loss": means["loss"], "images/s": speed}

    @property
    def images_per_step(self) -> int:
        return self.config.batch_size * self.world

    def validate(self, validation: Dataset) -> None:
        """Scores and pictures of the averaged weights, into the records."""
        autocast = bfloat16_where(self.config.precision == "bf16", self.device, keep=True)
        with self.ema.applied(self.network), torch.no_grad(), autocast:
            self.task.eval()
            scores, picture = validate(
                self.task, validation, self.config.seed, pictures=self.config.pictures if self.is_main else 0,
                rank=self.rank, world=self.world,
            )  # fmt: skip
        named = {f"val_{name}": value for name, value in scores.items()}
        self.records.numbers(self.step, self.step * self.images_per_step, named)
        if picture is not None:
            self.records.picture(self.step, picture)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in named.items())
        self.records.note(f"step {self.step}: {shown}")

    def checkpoint(self) -> None:
        """Write the state of this step; TrainingError, and nothing written, where the weights are not finite."""
        stream = self.feed.states()
        if not self.is_main or self.last_step() == self.step:
            return
        bad = [name for name, p in self.network.named_parameters() if not bool(torch.isfinite(p).all())]
        if bad:
            raise TrainingError(
                f"weights are not finite at step {self.step} ({', '.join(bad[:3])}, {len(bad)} in all); "
                f"the last good checkpoint is {self.last_checkpoint()}"
            )
        state = {
            "step": self.step,
            "identity": self.identity,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict(),
            "guard": self.guard.state_dict(),
            "meter": self.meter.state_dict(),
            **({} if stream is None else {"stream": stream}),
        }
        self.records.flush()
        save_checkpoint(self.folder / "checkpoints", self.step, state)

    def last_checkpoint(self) -> Path | None:
        return latest_checkpoint(self.folder / "checkpoints")

    def last_step(self) -> int | None:
        """Step of the newest checkpoint."""
        last = self.last_checkpoint()
        return None if last is None else step_of(last)

    def finish(self) -> None:
        """Put the averaged weights into the network; export it when the run has done all its steps."""
        with self.ema.applied(self.network):
            averaged = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
        self.network.load_state_dict(averaged)
        self.network.eval()
        if self.step == self.config.steps and self.is_main:
            export(self.network, self.folder / "export")
        self.accelerator.wait_for_everyone()
