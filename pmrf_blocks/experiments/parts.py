"""The stages that a stage is built of, and the same stage with another seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pmrf_blocks.experiments.stages import (
    Autoencoder,
    Decoder,
    Diffusion,
    Estimator,
    Flow,
    LatentEstimator,
    Reflow,
)

ROLES = {Autoencoder: "autoencoder", Estimator: "estimator", LatentEstimator: "latent_estimator",
         Decoder: "decoder", Flow: "flow", Diffusion: "flow", Reflow: "flow"}  # fmt: skip


def stage_parts(stage: Any, role: str | None = None) -> dict[str, Any]:
    """A stage and the stages that it is built of, by what they are there for ('pixel': a release's second flow), in
    an order in which they can be trained."""
    parts: dict[str, Any] = {}
    for name in ("autoencoder", "estimator", "latent_estimator", "decoder", "mean", "pixel", "teacher", "flow"):
        inner = getattr(stage, name, None)
        if inner is not None:
            parts |= stage_parts(inner, name)
    role = role or ROLES.get(type(stage))
    return parts if role is None else {**parts, role: stage}


def with_seed(stage: Any, seed: int) -> Any:
    """The stage with this training seed, and the autoencoder in it. Estimators, in pixels or of latents, keep theirs,
    which all rows share; what is published is what it is.

    Examples:
        >>> from pmrf_blocks.training import TrainConfig
        >>> from pmrf_blocks.transformers import HourglassTransformer
        >>> faces, train = Images("faces", 64), TrainConfig(steps=100, batch_size=4)
        >>> velocity = Net(HourglassTransformer, in_channels=3)
        >>> flow = with_seed(Flow(velocity, faces, faces, train, source="degraded"), 3)
        >>> flow.train.seed
        3
    """
    if getattr(stage, "published", None) is not None:
        return stage
    changes: dict[str, Any] = {}
    if hasattr(stage, "train") and not isinstance(stage, LatentEstimator):
        changes["train"] = replace(stage.train, seed=seed)
    for name in ("autoencoder", "latent_estimator", "decoder", "flow", "pixel"):
        inner = getattr(stage, name, None)
        if inner is not None:
            changes[name] = with_seed(inner, seed)
    return replace(stage, **changes)
