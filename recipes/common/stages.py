"""What is trained, as frozen configurations. A stage holds the stages that it builds on, so that one value says how
every weight came to be; an ablation is dataclasses.replace of one field."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import torch
from torch import nn

from pmrf_blocks.seeding import derive_seed
from pmrf_blocks.training import TrainConfig

NETWORKS = {
    "SimVAE": "pmrf_blocks.autoencoders",
    "SDVAE": "pmrf_blocks.autoencoders",
    "UNet": "pmrf_blocks.estimators",
    "SwinIR": "pmrf_blocks.estimators",
    "RRDB": "pmrf_blocks.estimators",
    "HourglassTransformer": "pmrf_blocks.transformers",
}
SOURCES = ("posterior-mean", "degraded", "noise", "mean-of-latents")
CONDITIONS = (None, "degraded", "posterior-mean")
LOSSES = ("rectified", "consistency")
# Settings of a run that change how it is done or watched, not what comes out.
NEUTRAL = frozenset({
    "log_every", "validate_every", "checkpoint_every", "pictures", "workers", "trackers", "compile",
    "gradient_checkpointing",
})  # fmt: skip


@dataclass(frozen=True)
class Network:
    """A network by the name of its class (one of NETWORKS) and its constructor's arguments."""

    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in NETWORKS:
            raise ValueError(f"kind must be one of {', '.join(map(repr, NETWORKS))}; got {self.kind!r}")

    @property
    def factory(self) -> Any:
        return getattr(import_module(NETWORKS[self.kind]), self.kind)

    def build(self, seed: int) -> nn.Module:
        """The network with the random start that `seed` gives; the global generator stays as it was."""
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(derive_seed(seed, "init"))
            return self.factory(**self.arguments)

    def changed(self, **arguments: Any) -> Network:
        """The same network with other arguments: an ablation."""
        return replace(self, arguments={**self.arguments, **arguments})


@dataclass(frozen=True)
class Images:
    """Images of one folder below the data folder: its name, shorter side in pixels, side of the random crop (None:
    the centre square), how many of them (None: all; in the order of their names)."""

    folder: str
    size: int
    crop: int | None = None
    first: int | None = None


@dataclass(frozen=True)
class Autoencoder:
    """Arguments:
    images: what it is trained on; `faces` are what its latents are normalised over.
    perceptual: 'vgg19' (the paper's), 'efficientnet-lite1' (where those weights are not at hand), or 'none'.
    perceptual_weight, kl_weight: of the loss (eq. 9); KL is summed over the latent of a 256x256 crop.
    published: folder or hub id of a finished autoencoder in diffusers layout, instead of training one; with the
        folder inside a hub's repository after a colon ('black-forest-labs/FLUX.1-schnell:vae').
    """

    network: Network
    images: tuple[Images, ...]
    faces: Images
    validation: Images
    train: TrainConfig
    perceptual: str = "vgg19"
    perceptual_weight: float = 0.05
    kl_weight: float = 1e-6
    published: str | None = None

    @property
    def kl_weight_of_crop(self) -> float:
        """A smaller crop has a smaller latent: its KL weighs more, so that a pixel pays the same."""
        crop = self.images[0].crop or self.images[0].size
        return self.kl_weight * (256 / crop) ** 2


@dataclass(frozen=True)
class Estimator:
    """Posterior mean E[X | Y] in pixels. `published` is a finished one: a folder or hub id, or DifFace's .pth file."""

    network: Network
    images: Images
    validation: Images
    train: TrainConfig
    degradation: str = "blind-face"
    published: str | None = None


@dataclass(frozen=True)
class LatentEstimator:
    """Posterior mean of latents E[E(X) | Y] from E(Y): the source that ELIR takes (appendix A.2, option 1)."""

    network: Network
    autoencoder: Autoencoder
    images: Images
    validation: Images
    train: TrainConfig
    degradation: str = "blind-face"


@dataclass(frozen=True)
class Flow:
    """A flow and what it runs between.

    Arguments:
        autoencoder: whose latents it runs in; None: in pixels.
        estimator, latent_estimator: what the source or the condition needs.
        source: 'posterior-mean' (in latents: the latent of the mean), 'degraded', 'noise', 'mean-of-latents'.
        condition: what the velocity sees beside its state: None, 'degraded', 'posterior-mean'.
        source_noise: standard deviation of the noise added to the source.
        loss: 'rectified' (eq. 3) or 'consistency' (ELIR's consistency flow matching).
        pixel_weight: weight of the squared error of the decoded end of the path (ELIR); costs a decoder pass.
        time: distribution of t in training.
        pair_rounds: train on cached pairs, this many degradations an image; 0: fresh ones at every step.
    """

    velocity: Network
    images: Images
    validation: Images
    train: TrainConfig
    autoencoder: Autoencoder | None = None
    estimator: Estimator | None = None
    latent_estimator: LatentEstimator | None = None
    degradation: str = "blind-face"
    source: str = "posterior-mean"
    condition: str | None = None
    source_noise: float = 0.0
    loss: str = "rectified"
    pixel_weight: float = 0.0
    time: str = "uniform"
    pair_rounds: int = 0

    def __post_init__(self) -> None:
        for name, valid in (("source", SOURCES), ("condition", CONDITIONS), ("loss", LOSSES)):
            if getattr(self, name) not in valid:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, valid))}; got {getattr(self, name)!r}")
        needs = {self.source, self.condition}
        if "posterior-mean" in needs and self.estimator is None:
            raise ValueError("a flow from or conditioned on the posterior mean needs an estimator")
        if "mean-of-latents" in needs and (self.latent_estimator is None or self.autoencoder is None):
            raise ValueError("a flow from the mean of latents needs an autoencoder and a latent_estimator")
        if self.pair_rounds and self.condition is not None:
            raise ValueError("pairs are cached for flows without a condition only")


Stage = Autoencoder | Estimator | LatentEstimator | Flow


def with_seed(stage: Any, seed: int) -> Any:
    """The stage with this training seed, and the autoencoder in it. Estimators, in pixels or of latents, keep theirs,
    which all rows share; what is published is what it is."""
    if getattr(stage, "published", None) is not None:
        return stage
    changes: dict[str, Any] = {}
    if not isinstance(stage, LatentEstimator):
        changes["train"] = replace(stage.train, seed=seed)
    for name in ("autoencoder", "latent_estimator"):
        inner = getattr(stage, name, None)
        if inner is not None:
            changes[name] = with_seed(inner, seed)
    return replace(stage, **changes)


def essence(value: Any) -> Any:
    """What decides a stage's weights, as JSON: fields that are at their defaults are left out, so that a field which
    the code gains later changes no name."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = {}
        for entry in dataclasses.fields(value):
            own = getattr(value, entry.name)
            if entry.name not in NEUTRAL and (entry.default is dataclasses.MISSING or own != entry.default):
                kept[entry.name] = essence(own)
        return {type(value).__name__: kept}
    if isinstance(value, Mapping):
        return {key: essence(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [essence(inner) for inner in value]
    return value


def stage_name(stage: Stage) -> str:
    """Name of the stage's run folder, such as 'flow-1f0c22ab': equal configurations, and only these, share one."""
    text = json.dumps(essence(stage), sort_keys=True)
    return f"{type(stage).__name__.lower()}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
