"""What a training run needs to know beside its task and its data."""

from __future__ import annotations

from dataclasses import dataclass

from pmrf_blocks.training.precision import check_precision

SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class TrainConfig:
    """Hyper-parameters of one run; one `step` is one update of the weights.

    Arguments:
        steps: updates in all.
        batch_size: images an update on this process (times the number of processes in all), of which
            accumulate micro-batches are computed one after the other.
        lr: learning rate after the warm-up; final_lr is where 'cosine' ends.
        horizon: the update at which 'cosine' ends, of a run that leaves off before; None: `steps`.
        warmup_steps, warmup_lr: the first updates run at warmup_lr, constant, as the paper's do; None rises linearly.
        betas, weight_decay, eps: of AdamW.
        clip: largest gradient norm; None does not clip.
        ema: decay of the moving average of the weights; the average is what validation and export use.
        precision: 'fp32', or 'bf16': autocast; weights, optimiser and average stay float32.
        channels_last: keep convolution weights in this memory format.
        gradient_checkpointing: the network recomputes its layers in the backward pass: less memory, more time.
        compile: backend of torch.compile ('inductor'; 'eager' and 'aot_eager' to find errors); None does not compile.
        log_every, validate_every, checkpoint_every: in steps; the last step does all three.
        pictures: how many of the validation images go into the picture of each validation; 0 draws none.
        explosion: an update whose loss is this many times the usual one (a running mean of its magnitude) is
            skipped, as is one that is not finite; None skips the latter alone.
        max_skipped: this many skipped updates in a row end the run.
        workers: processes that read images; 0 reads in the training process.
        trackers: names of accelerate's trackers, such as 'tensorboard' and 'wandb'; stats.jsonl is always written.

    Examples:
        >>> TrainConfig(steps=100, batch_size=4, lr=1e-3).schedule
        'constant'
    """

    steps: int
    batch_size: int
    lr: float = 5e-4
    schedule: str = "constant"
    final_lr: float = 0.0
    warmup_steps: int = 0
    warmup_lr: float | None = None
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    eps: float = 1e-8
    clip: float | None = 1.0
    accumulate: int = 1
    ema: float = 0.9999
    precision: str = "fp32"
    channels_last: bool = True
    gradient_checkpointing: bool = False
    compile: str | None = None
    seed: int = 0
    log_every: int = 50
    validate_every: int = 1000
    checkpoint_every: int = 1000
    pictures: int = 4
    explosion: float | None = 100.0
    max_skipped: int = 20
    workers: int = 0
    trackers: tuple[str, ...] = ("tensorboard",)
    horizon: int | None = None

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "accumulate", "log_every", "validate_every", "checkpoint_every", "max_skipped")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("pictures", "workers", "warmup_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0; got {getattr(self, name)}")
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulate {self.accumulate}")
        if self.horizon is not None and self.horizon < self.steps:
            raise ValueError(f"horizon must be at least steps, {self.steps}, or None; got {self.horizon}")
        check_precision(self.precision)
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {SCHEDULES}; got {self.schedule!r}")
        if not 0.0 <= self.ema < 1.0:
            raise ValueError(f"ema must be in [0, 1); got {self.ema}")
        if self.explosion is not None and self.explosion <= 1.0:
            raise ValueError(f"explosion must be greater than 1, or None; got {self.explosion}")
