"""trained(): the network of a stage, trained once with all that it builds on, and found again ever after."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from pmrf_blocks.autoencoders import load_autoencoder
from pmrf_blocks.data import ImageDataset, JoinedDataset, find_images
from pmrf_blocks.degradations import build_degradation
from pmrf_blocks.estimators import load_swinir_weights
from pmrf_blocks.losses import REAL_ESRGAN_WEIGHTS, EfficientNetLiteFeatures, PerceptualLoss, VGG19Features
from pmrf_blocks.training import (
    AutoencoderTask,
    PairDataset,
    PosteriorMeanTask,
    TrainConfig,
    fit,
    latent_statistics,
    precompute_pairs,
)
from pmrf_blocks.training.checkpoint import latest_checkpoint, load_checkpoint
from pmrf_blocks.training.export import export
from pmrf_blocks.training.tasks import Task
from recipes.common.ends import FlowEnds, LatentMeanTask, RecipeFlowTask
from recipes.common.stages import (
    Autoencoder,
    Estimator,
    Flow,
    Images,
    LatentEstimator,
    Network,
    Stage,
    essence,
    stage_name,
)

MODEL = "model"  # the folder of a finished stage, within its run folder
Piece = Callable[[nn.Module, int], None]


@dataclass(frozen=True)
class Place:
    """Where stages read and write: image folders below `data`, one run folder a stage below `runs`.

    `vgg19` is torchvision's vgg19 .pth file; `changes` are settings of every run that change how it is done, not
    what comes out. `pairs` keeps images that several flows start from.
    """

    data: Path
    runs: Path
    device: str | None = None
    vgg19: Path | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    pairs: dict[str, PairDataset] = field(default_factory=dict)

    def folder(self, stage: Stage) -> Path:
        return self.runs / stage_name(stage)

    def images(self, images: Images, *, flip: bool = True) -> ImageDataset:
        paths = find_images(self.data / images.folder)[: images.first]
        return ImageDataset(paths, size=images.size, crop=images.crop, flip=flip, keep=images.size <= 128)

    def config(self, train: TrainConfig) -> TrainConfig:
        """The run's settings on this process: a recipe's batch is that of all processes together."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if train.batch_size % world:
            raise ValueError(f"a batch of {train.batch_size} cannot be shared out among {world} processes")
        return replace(train, batch_size=train.batch_size // world, **self.changes)


def finished(stage: Stage, place: Place) -> bool:
    return (place.folder(stage) / MODEL).is_dir()


def trained(stage: Stage, place: Place) -> Any:
    """The stage's network in eval mode, on the CPU: read where it is finished, else trained, or trained on."""
    published = getattr(stage, "published", None)
    if published is not None:
        return load_published(stage, published)
    if not finished(stage, place):
        TRAINERS[type(stage)](stage, place)
    network = stage.velocity if isinstance(stage, Flow) else stage.network
    return network.factory.from_pretrained(place.folder(stage) / MODEL).eval()


def load_published(stage: Stage, source: str) -> Any:
    if isinstance(stage, Autoencoder):
        return load_autoencoder(source).eval()
    assert isinstance(stage, Estimator)
    if not source.endswith((".pth", ".pt")):
        return stage.network.factory.from_pretrained(source).eval()
    network = stage.network.build(0)
    state = torch.load(source, map_location="cpu", weights_only=True)
    load_swinir_weights(network, state.get("params_ema", state))  # type: ignore[arg-type]
    return network.eval()


def run_stage(stage: Stage, task: Task, dataset: Dataset, place: Place, *, stop: int | None = None) -> Any:
    """Train a stage's task in its run folder, up to step `stop`; the network with averaged weights."""
    network = fit(
        place.config(stage.train), task, dataset, place.folder(stage), validation=place.images(stage.validation),
        record=essence(stage), device=place.device, stop=stop,
    )  # fmt: skip
    return network.cpu()


def keep(network: nn.Module, stage: Stage, place: Place) -> None:
    """Put the finished network where trained() finds it; by the main process alone."""
    from accelerate import PartialState

    state = PartialState()
    if state.is_main_process:
        export(network, place.folder(stage) / MODEL)
    state.wait_for_everyone()


def perceptual_loss(name: str, place: Place) -> PerceptualLoss | None:
    if name == "none":
        return None
    if name == "efficientnet-lite1":
        return PerceptualLoss(EfficientNetLiteFeatures(), relative=True)
    if name != "vgg19":
        raise ValueError(f"perceptual must be one of 'vgg19', 'efficientnet-lite1', 'none'; got {name!r}")
    if place.vgg19 is None:
        raise ValueError(
            "the perceptual loss needs torchvision's VGG-19 (IMAGENET1K_V1): download "
            "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth and pass --vgg19 FILE"
        )
    return PerceptualLoss(VGG19Features(place.vgg19), REAL_ESRGAN_WEIGHTS)


def train_autoencoder(stage: Autoencoder, place: Place) -> None:
    task = AutoencoderTask(
        stage.network.build(stage.train.seed),  # type: ignore[arg-type]
        perceptual=perceptual_loss(stage.perceptual, place),
        perceptual_weight=stage.perceptual_weight,
        kl_weight=stage.kl_weight_of_crop,
    )
    network = run_stage(stage, task, JoinedDataset(*map(place.images, stage.images)), place)
    batches = DataLoader(place.images(stage.faces, flip=False), batch_size=32)
    scale, shift = latent_statistics(network, batches)
    normalized = stage.network.changed(scaling_factor=scale, shift_factor=shift).build(0)
    normalized.load_state_dict(network.state_dict())
    keep(normalized, stage, place)


def train_estimator(stage: Estimator, place: Place) -> None:
    task = PosteriorMeanTask(stage.network.build(stage.train.seed), build_degradation(stage.degradation))
    keep(run_stage(stage, task, place.images(stage.images), place), stage, place)


def train_latent_estimator(stage: LatentEstimator, place: Place) -> None:
    between = Flow(
        Network("HourglassTransformer"), stage.images, stage.validation, stage.train,
        autoencoder=stage.autoencoder, degradation=stage.degradation, source="degraded",
    )  # fmt: skip
    ends = FlowEnds(between, autoencoder=trained(stage.autoencoder, place))
    network = stage.network.build(stage.train.seed)
    keep(run_stage(stage, LatentMeanTask(network, ends), place.images(stage.images), place), stage, place)


def flow_ends(flow: Flow, place: Place) -> FlowEnds:
    """The flow's ends, their networks trained where they were not."""
    return FlowEnds(
        flow,
        autoencoder=None if flow.autoencoder is None else trained(flow.autoencoder, place),
        estimator=None if flow.estimator is None else trained(flow.estimator, place),
        latent_estimator=None if flow.latent_estimator is None else trained(flow.latent_estimator, place),
    )


def train_flow(flow: Flow, place: Place, *, pieces: int = 1, after_piece: Piece | None = None) -> None:
    """Train a flow in `pieces` equal ones, with after_piece(network, step) after each."""
    ends = flow_ends(flow, place)
    task = RecipeFlowTask(flow.velocity.build(flow.train.seed), ends)
    dataset: Dataset = cached_pairs(ends, place) if flow.pair_rounds else place.images(flow.images)
    last = latest_checkpoint(place.folder(flow) / "checkpoints")
    done = 0 if last is None else int(load_checkpoint(last)["step"])
    for piece in range(1, pieces + 1):
        step = flow.train.steps * piece // pieces
        if step < done:
            continue
        network = run_stage(flow, task, dataset, place, stop=step)
        if after_piece is not None:
            after_piece(network, step)
    keep(network, flow, place)


def cached_pairs(ends: FlowEnds, place: Place) -> PairDataset:
    """Pairs of a flow in its own space; the images that they are made from serve all flows that start alike."""
    flow = ends.flow
    in_pixels = replace(flow, autoencoder=None, latent_estimator=None, source=pixel_source(flow))
    pixels = FlowEnds(in_pixels, estimator=ends.estimator)
    key = str((pixel_source(flow), flow.degradation, flow.images, flow.pair_rounds, ends.estimator and flow.estimator))
    if key not in place.pairs:
        seed = 0  # the same degraded images for every row and every seed of it
        place.pairs[key] = precompute_pairs(pixels, place.images(flow.images), rounds=flow.pair_rounds, seed=seed)  # type: ignore[arg-type]
    images = place.pairs[key]
    return images if ends.autoencoder is None else encode_pairs(images, ends)


def pixel_source(flow: Flow) -> str:
    return "posterior-mean" if flow.source == "posterior-mean" else "degraded"


@torch.no_grad()
def encode_pairs(images: PairDataset, ends: FlowEnds, batch_size: int = 32) -> PairDataset:
    parts = []
    for start in range(0, len(images), batch_size):
        x0, x1 = (x[start : start + batch_size].float() for x in (images.x0, images.x1))
        source = ends.encode(x0)
        if ends.latent_estimator is not None and ends.flow.source == "mean-of-latents":
            source = ends.latent_estimator(source).float()
        parts.append((source.half(), ends.encode(x1).half()))
    return PairDataset(torch.cat([a for a, _ in parts]), torch.cat([b for _, b in parts]))


TRAINERS: dict[type, Callable[..., None]] = {
    Autoencoder: train_autoencoder,
    Estimator: train_estimator,
    LatentEstimator: train_latent_estimator,
    Flow: train_flow,
}
