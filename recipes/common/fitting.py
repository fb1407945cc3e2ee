"""trained(): the network of a stage, trained once with all that it builds on, and found again ever after."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from pmrf_blocks.autoencoders import load_autoencoder
from pmrf_blocks.data import ImageDataset, JoinedDataset, find_images
from pmrf_blocks.degradations import build_degradation
from pmrf_blocks.estimators import load_swinir_weights
from pmrf_blocks.losses import REAL_ESRGAN_WEIGHTS, EfficientNetLiteFeatures, PerceptualLoss, VGG19Features
from pmrf_blocks.restoration import BUNDLED
from pmrf_blocks.training import (
    AutoencoderTask,
    PairDataset,
    PairFolder,
    PosteriorMeanTask,
    TrainConfig,
    fit,
    latent_statistics,
)
from pmrf_blocks.training.checkpoint import steps_done
from pmrf_blocks.training.export import export
from pmrf_blocks.training.pair_folder import store_pairs
from pmrf_blocks.training.pairs import compute_pairs
from pmrf_blocks.training.processes import once, processes
from pmrf_blocks.training.tasks import Coupling, Task
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
Piece = Callable[[nn.Module, int, float], None]


@dataclass(frozen=True)
class Place:
    """Where stages read and write: image folders below `data`, one run folder a stage below `runs`.

    `vgg19` is torchvision's vgg19 .pth file; `changes` are settings of every run that change how it is done, not
    what comes out. `pair_folder` keeps a flow's cached pairs on the disk (None: in memory). `pairs` and `decoded` keep
    what several stages read.
    """

    data: Path
    runs: Path
    device: str | None = None
    vgg19: Path | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    pair_folder: Path | None = None
    pairs: dict[str, PairDataset] = field(default_factory=dict)
    decoded: dict[tuple[str, int], dict[int, Any]] = field(default_factory=dict)

    def folder(self, stage: Stage) -> Path:
        return self.runs / stage_name(stage)

    def images(self, images: Images, *, flip: bool = True) -> ImageDataset:
        """The images as a dataset; small ones stay in memory, for every stage that reads them."""
        paths = find_images(self.data / images.folder)[: images.first]
        dataset = ImageDataset(paths, size=images.size, crop=images.crop, flip=flip, keep=images.size <= 128)
        dataset.decoded = self.decoded.setdefault((images.folder, images.size), dataset.decoded)
        return dataset

    def config(self, train: TrainConfig) -> TrainConfig:
        """The run's settings on this process: a recipe's batch is that of all processes together."""
        world = world_size()
        if train.batch_size % world:
            raise ValueError(f"a batch of {train.batch_size} cannot be shared out among {world} processes")
        return replace(train, batch_size=train.batch_size // world, **self.changes)


def world_size() -> int:
    """Processes of this run, as torchrun and accelerate say."""
    return int(os.environ.get("WORLD_SIZE", "1"))


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
    if source == "bundled":
        source = str(BUNDLED / type(stage).__name__.lower())
    if isinstance(stage, Autoencoder):
        repo, _, subfolder = (source, "", "") if Path(source).exists() else source.partition(":")
        return load_autoencoder(repo, subfolder=subfolder).eval()
    assert isinstance(stage, Estimator)
    if not source.endswith((".pth", ".pt")):
        return stage.network.factory.from_pretrained(source).eval()
    return load_swinir_weights(stage.network.build(0), source).eval()  # type: ignore[arg-type]


def run_stage(
    stage: Stage, task: Task, dataset: Dataset, place: Place, *, stop: int | None = None, validate: bool = True
) -> Any:
    """Train a stage's task in its run folder, up to step `stop`; the network with averaged weights."""
    network = fit(
        place.config(stage.train), task, dataset, place.folder(stage),
        validation=place.images(stage.validation) if validate else None, record=essence(stage),
        device=place.device, stop=stop,
    )  # fmt: skip
    return network.cpu()


def keep(network: nn.Module, stage: Stage, place: Place) -> None:
    """Put the finished network where trained() finds it; by the main process alone."""
    once(lambda: export(network, place.folder(stage) / MODEL), place.device)


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
    workers = place.config(stage.train).workers
    batches = DataLoader(place.images(stage.faces, flip=False), batch_size=32, num_workers=workers)
    # By every process: one that waited for another would run out of its patience at the paper's size.
    scale, shift = latent_statistics(network.to(processes(place.device).device), batches)
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


def train_flow(
    flow: Flow,
    place: Place,
    *,
    pieces: int = 1,
    after_piece: Piece | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Train a flow in `pieces` equal ones, with after_piece(network, step, seconds) after each: what it took by the
    clock, encoding of pairs included."""
    ends = flow_ends(flow, place)
    task = RecipeFlowTask(flow.velocity.build(flow.train.seed), ends)
    images = image_pairs(ends, place) if flow.pair_rounds and place.pair_folder is None else None
    start = clock()
    dataset: Dataset = place.images(flow.images)
    if images is not None:
        dataset = encode_pairs(images, ends)
    elif flow.pair_rounds:
        dataset = pairs_on_disk(ends, place)
    done = steps_done(place.folder(flow))
    for piece in range(1, pieces + 1):
        step = flow.train.steps * piece // pieces
        if step < done:
            continue
        network = run_stage(flow, task, dataset, place, stop=step, validate=after_piece is None)
        if after_piece is not None:
            after_piece(network, step, clock() - start)
            start = clock()
    keep(network, flow, place)


def image_pairs(ends: FlowEnds, place: Place) -> PairDataset:
    """Pairs in pixels, the same for every flow that starts alike, whatever its latents and its seed."""
    flow = ends.flow
    source = "posterior-mean" if flow.source == "posterior-mean" else "degraded"
    key = str((source, flow.degradation, flow.images, flow.pair_rounds, flow.estimator))
    if key not in place.pairs:
        in_pixels = replace(flow, autoencoder=None, latent_estimator=None, source=source)
        coupling: Any = FlowEnds(in_pixels, estimator=ends.estimator)
        place.pairs[key] = compute_pairs(
            coupling, place.images(flow.images), rounds=flow.pair_rounds, seed=0, device=place.device
        )
    return place.pairs[key]


def pairs_on_disk(ends: FlowEnds, place: Place) -> PairFolder:
    """Pairs in the flow's own space, written where they are not there yet."""
    flow, coupling = ends.flow, cast(Coupling, ends)  # without a condition it gives two ends
    assert place.pair_folder is not None
    return store_pairs(
        place.pair_folder, coupling, place.images(flow.images), rounds=flow.pair_rounds, seed=0,
        made_by={"source": flow.source, "images": essence(flow.images)},
        workers=place.config(flow.train).workers, device=place.device,
    )  # fmt: skip


@torch.no_grad()
def encode_pairs(images: PairDataset, ends: FlowEnds, batch_size: int = 32) -> PairDataset:
    """The pairs in the flow's own space."""
    if ends.autoencoder is None:
        return images
    parts, device = [], next(ends.autoencoder.parameters()).device
    for start in range(0, len(images), batch_size):
        x0, x1 = (x[start : start + batch_size].to(device).float() for x in (images.x0, images.x1))
        source = ends.encode(x0)
        if ends.latent_estimator is not None:
            source = ends.latent_estimator(source).float()
        parts.append((source.half().cpu(), ends.encode(x1).half().cpu()))
    return PairDataset(torch.cat([a for a, _ in parts]), torch.cat([b for _, b in parts]))


TRAINERS: dict[type, Callable[..., None]] = {
    Autoencoder: train_autoencoder,
    Estimator: train_estimator,
    LatentEstimator: train_latent_estimator,
    Flow: train_flow,
}
