"""A whole Latent-PMRF chain as one configuration, and the stages that train it one after the other.

Stages: autoencoder and estimator (independent of each other); decoder (the autoencoder's, once more, on fixed
latents), flow (Latent-PMRF) and pixel (PMRF, for comparison), which are independent too; assemble (both pipelines,
from what the stages exported).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.data import ImageDataset, JoinedDataset, find_images
from pmrf_blocks.degradations import BlindFaceDegradation
from pmrf_blocks.estimators import UNet
from pmrf_blocks.experiments.provenance import PROVENANCE, describe_data, stage_provenance
from pmrf_blocks.losses import EfficientNetLiteFeatures, PerceptualLoss
from pmrf_blocks.restoration import PMRF, LatentPMRF
from pmrf_blocks.training import (
    AutoencoderTask,
    LatentCoupling,
    PixelCoupling,
    PosteriorMeanTask,
    TrainConfig,
    fit,
    given_pairs,
    latent_statistics,
)
from pmrf_blocks.training.checkpoint import steps_done
from pmrf_blocks.training.export import export
from pmrf_blocks.training.pairs import compute_pairs
from pmrf_blocks.training.processes import once, processes
from pmrf_blocks.training.randomness import seeded
from pmrf_blocks.training.tasks import CouplingFlowTask
from pmrf_blocks.transformers import HourglassTransformer


@dataclass(frozen=True)
class Chain:
    """Everything that decides a chain's weights, beside the images.

    Arguments:
        size: side of the faces, and the working size of the models, in pixels.
        crop: side of the autoencoder's training crops.
        photo_size: shorter side that general photographs are brought to before cropping.
        autoencoder, estimator, velocity, pixel_velocity: arguments of SimVAE, UNet and two HourglassTransformers.
        perceptual_weight, kl_weight: of the autoencoder's loss.
        decoder_perceptual_weight: of the decoder's second training, with the encoder frozen.
        source_noise, pixel_source_noise: noise on the flows' sources, in units of the normalised latent and of [0, 1].
        pair_rounds, flow_pieces: the flow trains in pieces, each on its own cache of pair_rounds degradations an image.
        train: one TrainConfig a stage.
    """

    size: int
    crop: int
    photo_size: int
    autoencoder: dict[str, Any]
    estimator: dict[str, Any]
    velocity: dict[str, Any]
    pixel_velocity: dict[str, Any]
    perceptual_weight: float
    kl_weight: float
    decoder_perceptual_weight: float
    source_noise: float
    pixel_source_noise: float
    pair_rounds: int
    flow_pieces: int
    train: dict[str, TrainConfig]


@dataclass(frozen=True)
class Place:
    """Where a chain reads and writes: image folders below `data`, stage folders below `runs`, pipelines in `weights`
    (None: RUNS/assembled)."""

    chain: Chain
    data: Path
    runs: Path
    device: str | None = None
    weights: Path | None = None

    def faces(self, split: str, *, jitter: int = 0, crop: int | None = None) -> ImageDataset:
        size = self.chain.size
        train = split == "train"
        paths = find_images(self.data / "faces256" / split)
        return ImageDataset(paths, size=size + jitter, crop=crop or size, flip=train, keep=True)

    def new(self, kind: Any, stage: str, arguments: dict[str, Any]) -> Any:
        """A network whose random start is a function of the stage's seed."""
        with seeded(self.chain.train[stage].seed, "start", device=torch.device("cpu")):
            return kind(**arguments)

    def fit(self, stage: str, task: Any, dataset: Dataset, validation: Dataset | None) -> None:
        fit(
            self.chain.train[stage], task, dataset, self.runs / stage, validation=validation,
            record=dataclasses.asdict(self.chain), device=self.device,
        )  # fmt: skip

    def load(self, kind: Any, stage: str) -> Any:
        return kind.from_pretrained(self.runs / stage / "export")


def fit_autoencoder(place: Place, stage: str, network: SimVAE, perceptual_weight: float) -> None:
    chain = place.chain
    photos = ImageDataset(
        find_images(place.data / "photos"), size=chain.photo_size, crop=chain.crop, flip=True, keep=True
    )
    images = JoinedDataset(place.faces("train", crop=chain.crop), photos)
    perceptual = PerceptualLoss(EfficientNetLiteFeatures(), relative=True) if perceptual_weight else None
    task = AutoencoderTask(
        network, perceptual=perceptual, perceptual_weight=perceptual_weight, kl_weight=chain.kl_weight
    )
    place.fit(stage, task, images, place.faces("val"))


def train_autoencoder(place: Place) -> None:
    chain = place.chain
    fit_autoencoder(place, "autoencoder", place.new(SimVAE, "autoencoder", chain.autoencoder), chain.perceptual_weight)
    once(lambda: normalize_latents(place), place.device)


def normalize_latents(place: Place) -> None:
    """Export the autoencoder anew, with the scale and shift of its latents on the training faces."""
    trained = place.load(SimVAE, "autoencoder").to(processes(place.device).device)
    scale, shift = latent_statistics(trained, DataLoader(place.faces("train"), batch_size=32))
    normalized = SimVAE(**place.chain.autoencoder, scaling_factor=scale, shift_factor=shift)
    normalized.load_state_dict(trained.state_dict())
    export(normalized, place.runs / "autoencoder" / "export")


def train_decoder(place: Place) -> None:
    """The decoder alone, with more weight on the perceptual term: latents, and so the flow, stay as they are."""
    network = place.load(SimVAE, "autoencoder")
    network.encoder.requires_grad_(False)
    fit_autoencoder(place, "decoder", network, place.chain.decoder_perceptual_weight)


def train_estimator(place: Place) -> None:
    task = PosteriorMeanTask(place.new(UNet, "estimator", place.chain.estimator), BlindFaceDegradation())
    jitter = place.chain.size // 20  # a little more variety of scale and place than the aligned crops have
    place.fit("estimator", task, place.faces("train", jitter=jitter), place.faces("val"))


def train_flow(place: Place) -> None:
    """Latent flow, on cached pairs: encoder and estimator would otherwise take most of the time."""
    chain = place.chain
    coupling = LatentCoupling(place.load(SimVAE, "autoencoder"), place.load(UNet, "estimator"), BlindFaceDegradation())
    whole = chain.train["flow"]
    network = place.new(HourglassTransformer, "flow", chain.velocity)
    task = CouplingFlowTask(network, given_pairs, source_noise=chain.source_noise)
    validation = compute_pairs(coupling, place.faces("val"), rounds=1, seed=whole.seed + 1_000_000, device=place.device)
    jitter = chain.size // 20
    done = steps_done(place.runs / "flow")
    for piece in range(chain.flow_pieces):
        stop = whole.steps * (piece + 1) // chain.flow_pieces
        if stop <= done and piece + 1 < chain.flow_pieces:
            continue
        pairs = compute_pairs(
            coupling,
            place.faces("train", jitter=jitter),
            rounds=chain.pair_rounds,
            seed=whole.seed + piece,
            device=place.device,
        )
        fit(
            whole, task, pairs, place.runs / "flow", validation=validation, record=dataclasses.asdict(chain),
            device=place.device, stop=stop,
        )  # fmt: skip


def train_pixel(place: Place) -> None:
    chain = place.chain
    coupling = PixelCoupling(place.load(UNet, "estimator"), BlindFaceDegradation())
    network = place.new(HourglassTransformer, "pixel", chain.pixel_velocity)
    task = CouplingFlowTask(network, coupling, source_noise=chain.pixel_source_noise)
    place.fit("pixel", task, place.faces("train", jitter=chain.size // 20), place.faces("val"))


def assemble(place: Place) -> None:
    once(lambda: save_pipelines(place), place.device)


def save_pipelines(place: Place) -> None:
    """Both pipelines in half precision, and provenance.json; PMRF in the folder pixel, with the same estimator."""
    chain, folder = place.chain, place.weights or place.runs / "assembled"
    estimator = place.load(UNet, "estimator")
    latent = LatentPMRF(
        autoencoder=place.load(SimVAE, "decoder"),
        estimator=estimator,
        velocity=place.load(HourglassTransformer, "flow"),
        size=chain.size,
        source_noise=chain.source_noise,
    )
    latent.save_pretrained(folder, dtype=torch.float16)
    velocity = place.load(HourglassTransformer, "pixel")
    pixel = PMRF(estimator=estimator, velocity=velocity, size=chain.size, source_noise=chain.pixel_source_noise)
    pixel.save_pretrained(folder / "pixel", dtype=torch.float16, shared=("estimator",))
    counts = {name: len(find_images(place.data / name)) for name in ("faces256/train", "photos")}
    networks = {**dict(latent.named_children()), "pixel velocity": velocity}
    provenance = {
        "size": chain.size,
        "data": describe_data(counts),
        "parameters": {name: sum(p.numel() for p in net.parameters()) for name, net in networks.items()},
        "stages": {stage: stage_provenance(place.runs / stage) for stage in chain.train},
    }
    (folder / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n")


STAGES: dict[str, Callable[[Place], None]] = {
    "autoencoder": train_autoencoder,
    "estimator": train_estimator,
    "decoder": train_decoder,
    "flow": train_flow,
    "pixel": train_pixel,
    "assemble": assemble,
}
