"""trained(): what a stage describes, trained once with all that it builds on, and found again ever after."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.data import DataLoader, Dataset

from pmrf_blocks.autoencoders import load_autoencoder
from pmrf_blocks.data import IterableImages, JoinedDataset
from pmrf_blocks.estimators import load_swinir_weights
from pmrf_blocks.experiments.config import describe
from pmrf_blocks.experiments.networks import Net
from pmrf_blocks.experiments.place import Place, degradation_of
from pmrf_blocks.experiments.stages import (
    Autoencoder,
    Decoder,
    Diffusion,
    Estimator,
    Flow,
    LatentEstimator,
    Reflow,
    Stage,
)
from pmrf_blocks.losses import perceptual_loss
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import BUNDLED, ForeignNetwork, Latents, Pipeline, ResShift
from pmrf_blocks.restoration.composition import compose
from pmrf_blocks.training import (
    AutoencoderTask,
    FlowTask,
    LatentMeanTask,
    PosteriorMeanTask,
    fit,
    latent_statistics,
    precompute_pairs,
    write_pairs,
)
from pmrf_blocks.training.checkpoint import steps_done
from pmrf_blocks.training.export import export
from pmrf_blocks.training.features import validation_features
from pmrf_blocks.training.pairs import OneCache
from pmrf_blocks.training.processes import once, processes
from pmrf_blocks.training.tasks import Task

MODEL = "model"  # the folder of a finished stage's network, within its run folder
AfterPiece = Callable[[nn.Module, int, float], None]
Find = Callable[[Any], Any]  # from a stage to its network


def finished(stage: Stage, place: Place) -> bool:
    """Whether nothing is to be trained for the stage itself."""
    return getattr(stage, "published", None) is not None or (place.folder(stage) / MODEL).is_dir()


def trained(stage: Any, place: Place) -> Any:
    """What a stage describes, in eval mode, on the CPU: read where it is finished, else trained, or trained on.

    An autoencoder (with a Decoder's decoder), an estimator's network; of a Flow the whole Pipeline.

    Examples:
        >>> from pathlib import Path
        >>> from pmrf_blocks.autoencoders import SimVAE
        >>> from pmrf_blocks.training import TrainConfig
        >>> faces, train = Images("faces", 64), TrainConfig(steps=100, batch_size=4)
        >>> stage = Autoencoder(Net(SimVAE, latent_channels=4), (faces,), faces, faces, train, published="bundled")
        >>> vae = trained(stage, Place(Path("data"), Path("runs")))  # finished already: nothing is trained
        >>> type(vae).__name__
        'SimVAE'
    """
    if getattr(stage, "published", None) is not None:
        return load_published(stage, stage.published)
    if not finished(stage, place):
        TRAINERS[type(stage)](stage, place)
    folder = place.folder(stage) / MODEL
    if isinstance(stage, Flow):
        return pipeline_of(stage, place, velocity=stage.velocity.load(folder)).eval()
    return (stage.autoencoder if isinstance(stage, Decoder) else stage).network.load(folder)


def trained_velocity(flow: Flow, place: Place) -> nn.Module:
    """A flow's velocity alone, without what its pipeline builds on."""
    if not finished(flow, place):
        TRAINERS[type(flow)](flow, place)
    return flow.velocity.load(place.folder(flow) / MODEL)


def load_published(stage: Autoencoder | Estimator, source: str) -> Any:
    if source == "bundled":
        source = str(BUNDLED / type(stage).__name__.lower())
    repo, _, subfolder = (source, "", "") if Path(source).exists() else source.partition(":")
    if isinstance(stage, Autoencoder):
        return load_autoencoder(repo, subfolder=subfolder).eval()
    if not Path(source).is_file() and not source.endswith((".pth", ".pt")):
        return stage.network.kind.from_pretrained(repo, subfolder=subfolder).eval()  # type: ignore[attr-defined]
    try:
        return load_swinir_weights(stage.network.build(0), source).eval()
    except WeightsError as error:  # not of the stage's own network: another's, where spandrel knows it
        if not Path(source).is_file():
            raise
        try:
            return ForeignNetwork(source).eval()
        except WeightsError as other:
            raise WeightsError(f"{error}; {other}") from None


def pipeline_of(flow: Flow, place: Place, *, velocity: nn.Module | None, autoencoder: Any = None) -> Pipeline:
    """The flow's pipeline with this velocity; what it builds on is trained where it is not, but for an `autoencoder`
    that is given."""
    return composed(flow, velocity, lambda part: trained(part, place), autoencoder)


def composed(flow: Flow, velocity: nn.Module | None, find: Find, autoencoder: Any = None) -> Pipeline:
    """The flow's pipeline with this velocity, of networks that `find` gives for the stages it builds on."""
    if autoencoder is None and flow.autoencoder is not None:
        autoencoder = find(flow.autoencoder)
    if isinstance(flow, Diffusion):
        return ResShift(autoencoder=autoencoder, velocity=velocity, size=flow.size, **asdict(flow.shift))
    return compose(
        flow.source.build(flow.train.seed) if isinstance(flow.source, Net) else flow.source,
        condition=flow.condition,
        autoencoder=autoencoder,
        estimator=None if flow.estimator is None else find(flow.estimator),
        latent_estimator=None if flow.latent_estimator is None else find(flow.latent_estimator),
        velocity=velocity,
        size=flow.size,
        source_noise=flow.source_noise,
        sample=flow.sample,
    )


def task_of(stage: Any, network: Any, find: Find, *, perceptual: nn.Module | None = None, features: Any = None) -> Task:
    """What a stage minimises: `network` learns, `find` gives the networks that it builds on. `perceptual` is an
    autoencoder's loss, `features` are those of a flow's validation."""
    if isinstance(stage, (Autoencoder, Decoder)):
        whole = stage.autoencoder if isinstance(stage, Decoder) else stage
        weights = {"perceptual_weight": stage.perceptual_weight, "kl_weight": whole.kl_weight_of_crop}
        return AutoencoderTask(network, perceptual=perceptual, **weights)
    degradation = degradation_of(stage.degradation)
    if isinstance(stage, Flow):
        return FlowTask(
            composed(stage, network, find), degradation=degradation, time=stage.time, loss=stage.loss,
            pixel_weight=stage.pixel_weight, groups=stage.groups, features=features,
            source_noise=0.0 if isinstance(stage, Reflow) else None,  # a teacher's pairs have it
        )  # fmt: skip
    if isinstance(stage, LatentEstimator):
        return LatentMeanTask(network, Latents(find(stage.autoencoder)), degradation=degradation)
    return PosteriorMeanTask(network, degradation)


def run_stage(stage: Any, task: Task, dataset: Dataset, place: Place, **options: Any) -> nn.Module:
    """Train a stage's task in its run folder; the network with averaged weights. `options` are fit()'s."""
    validation = (stage.autoencoder if isinstance(stage, Decoder) else stage).validation
    options = {"folder": place.folder(stage), "validation": place.images(validation), **options}
    config = place.config(stage.train)
    return fit(config, task, dataset, record=describe(stage), device=place.device, **options).cpu()


def keep(network: nn.Module, stage: Stage, place: Place) -> None:
    """Put the finished network where trained() finds it; by the main process alone."""
    once(lambda: export(network, place.folder(stage) / MODEL), place.device)


def fit_autoencoder(stage: Autoencoder | Decoder, network: nn.Module, place: Place) -> nn.Module:
    whole = stage.autoencoder if isinstance(stage, Decoder) else stage
    perceptual = perceptual_loss(stage.perceptual, vgg19=place.vgg19, weights=stage.perceptual_layers)
    task = task_of(stage, network, lambda part: trained(part, place), perceptual=perceptual)
    parts = [place.images(images, counted=len(whole.images) > 1) for images in whole.images]
    data = parts[0] if isinstance(parts[0], IterableImages) else JoinedDataset(*parts)
    return run_stage(stage, task, data, place)


def train_autoencoder(stage: Autoencoder, place: Place) -> None:
    network: Any = fit_autoencoder(stage, stage.network.build(stage.train.seed), place)
    workers = place.config(stage.train).workers
    batches = DataLoader(place.images(stage.faces), batch_size=32, num_workers=workers)
    # By every process: one that waited for another would run out of its patience at the paper's size.
    scale, shift = latent_statistics(network.to(processes(place.device).device), batches)
    normalized = stage.network.changed(scaling_factor=scale, shift_factor=shift).build(0)
    normalized.load_state_dict(network.state_dict())
    keep(normalized, stage, place)


def train_decoder(stage: Decoder, place: Place) -> None:
    network = trained(stage.autoencoder, place)
    network.encoder.requires_grad_(False)
    keep(fit_autoencoder(stage, network, place), stage, place)


def train_estimator(stage: Estimator | LatentEstimator, place: Place) -> None:
    task = task_of(stage, stage.network.build(stage.train.seed), lambda part: trained(part, place))
    keep(run_stage(stage, task, place.degraded(stage.images, stage.degradation), place), stage, place)


def train_flow(
    flow: Flow,
    place: Place,
    *,
    folder: Path | None = None,
    pieces: int = 1,
    after_piece: AfterPiece | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Train a flow, in `folder` (None: its run folder), with after_piece(velocity, step, seconds) after each of
    `pieces` equal parts: what it took by the clock, computing of pairs included."""
    folder = folder or place.folder(flow)
    if isinstance(flow, Reflow) and flow.teacher is not None:
        velocity = trained_velocity(flow.teacher, place)
        teacher: Pipeline | None = pipeline_of(flow, place, velocity=deepcopy(velocity))
    else:
        velocity, teacher = flow.velocity.build(flow.train.seed), None
    features = validation_features(place.inception, place.device)
    task: Any = task_of(flow, velocity, lambda part: trained(part, place), features=features)
    pipeline = task.pipeline
    steps, caches = flow.train.steps, flow.pair_caches if flow.pair_rounds else 1
    ends, cache_ends = ([steps * part // parts for part in range(1, parts + 1)] for parts in (pieces, caches))
    done = steps_done(folder)
    start, cached, dataset = clock(), -1, None
    for stop in sorted({*ends, *cache_ends}):
        if stop < done:
            continue
        cache = next(number for number, end in enumerate(cache_ends) if end >= stop)
        if cache != cached:
            cached, dataset = cache, flow_data(flow, teacher or pipeline, place, cache)
        options = {"folder": folder, "stop": stop} | ({} if after_piece is None else {"validation": None})
        network = run_stage(flow, task, dataset, place, **options)  # type: ignore[arg-type]
        if after_piece is not None and stop in ends:
            after_piece(network, stop, clock() - start)
            start = clock()
    keep(network, flow, place)


def flow_data(flow: Flow, pipeline: Pipeline, place: Place, cache: int) -> Dataset:
    """Images, or pairs that are computed beforehand: number `cache` of the flow's caches."""
    images = place.degraded(flow.images, flow.degradation, counted=flow.pair_rounds > 0)
    degradation = degradation_of(flow.degradation)
    if not flow.pair_rounds:
        return images
    options: dict[str, Any] = {
        "rounds": flow.pair_rounds, "seed": cache, "precision": flow.train.precision,
        "workers": place.config(flow.train).workers, "device": place.device, "batch_size": flow.train.batch_size,
        "reflow": flow.teacher_steps if isinstance(flow, Reflow) else 0,
    }  # fmt: skip
    if place.pair_folder is None:
        return OneCache(precompute_pairs(pipeline, degradation, images, **options), flow.pair_caches)
    folder = place.pair_folder if flow.pair_caches == 1 else place.pair_folder / str(cache)
    made_by = {"source": describe(flow.source), "images": describe(flow.images)}
    return OneCache(write_pairs(folder, pipeline, degradation, images, made_by=made_by, **options), flow.pair_caches)


TRAINERS: dict[type, Callable[..., None]] = {
    Autoencoder: train_autoencoder,
    Decoder: train_decoder,
    Estimator: train_estimator,
    LatentEstimator: train_estimator,
    Flow: train_flow,
    Diffusion: train_flow,
    Reflow: train_flow,
}
