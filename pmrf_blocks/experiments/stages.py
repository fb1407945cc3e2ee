"""What is trained, as frozen configurations. A stage holds the stages that it builds on, so that one value says how
every weight came to be; an ablation is dataclasses.replace of one field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pmrf_blocks.experiments.image_sets import Images
from pmrf_blocks.experiments.networks import Net
from pmrf_blocks.flow import ResidualShift
from pmrf_blocks.restoration.composition import CONDITIONS, SOURCES
from pmrf_blocks.training import TrainConfig
from pmrf_blocks.training.flow_tasks import LOSSES


@dataclass(frozen=True)
class Autoencoder:
    """Arguments:
    images: what it is trained on; `faces` are what its latents are normalised over.
    perceptual: 'vgg19' (the paper's), 'efficientnet-lite1' (where those weights are not at hand), or 'none'.
    perceptual_layers: weights of its layers, {"conv5_4": 1.0}; None: Real-ESRGAN's of VGG-19 (appendix B.2).
    perceptual_weight, kl_weight: of the loss (eq. 9); KL is summed over the latent of a 256x256 crop.
    published: folder or hub id of a finished autoencoder in diffusers layout, instead of training one; of a hub's
        repository with a revision and a folder inside it where need be (OWNER/NAME[@REVISION][:FOLDER], such as
        'black-forest-labs/FLUX.1-schnell:vae').

    Examples:
        >>> from pmrf_blocks.autoencoders import SimVAE
        >>> from pmrf_blocks.training import TrainConfig
        >>> faces, train = Images("faces", 256, crop=128), TrainConfig(steps=100, batch_size=4)
        >>> stage = Autoencoder(Net(SimVAE, latent_channels=4), (faces,), faces, faces, train)
        >>> stage.kl_weight_of_crop / stage.kl_weight  # a crop of a quarter of the pixels
        4.0
    """

    network: Net
    images: tuple[Images, ...]
    faces: Images
    validation: Images
    train: TrainConfig
    perceptual: str = "vgg19"
    perceptual_weight: float = 0.05
    kl_weight: float = 1e-6
    published: str | None = None
    perceptual_layers: Mapping[str, float] | None = None

    @property
    def kl_weight_of_crop(self) -> float:
        """A smaller crop has a smaller latent: its KL weighs more, so that a pixel pays the same."""
        crop = self.images[0].crop or self.images[0].size
        return self.kl_weight * (256 / crop) ** 2


@dataclass(frozen=True)
class Decoder:
    """The decoder of an autoencoder, trained once more on fixed latents: what flows in them stays right.

    Examples:
        >>> from pmrf_blocks.autoencoders import SimVAE
        >>> from pmrf_blocks.training import TrainConfig
        >>> faces, train = Images("faces", 256, crop=128), TrainConfig(steps=100, batch_size=4)
        >>> vae = Autoencoder(Net(SimVAE, latent_channels=4), (faces,), faces, faces, train)
        >>> Decoder(vae, train).autoencoder.network.arguments["latent_channels"]
        4
    """

    autoencoder: Autoencoder
    train: TrainConfig
    perceptual: str = "vgg19"
    perceptual_weight: float = 0.05
    perceptual_layers: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Estimator:
    """Posterior mean E[X | Y] in pixels. `published` is a finished one: a folder or hub id (as an
    Autoencoder's), DifFace's .pth file, or the file of any network that spandrel reads (ForeignNetwork).

    `degradation` is a name of build_degradation(), or Net(MyDegradation, ...), here and in the stages below.

    Examples:
        >>> from dataclasses import replace
        >>> from pmrf_blocks.estimators import UNet
        >>> from pmrf_blocks.training import TrainConfig
        >>> faces, train = Images("faces", 64), TrainConfig(steps=100, batch_size=4)
        >>> stage = Estimator(Net(UNet, widths=(8, 16), blocks=(1, 1)), faces, faces, train)
        >>> ablation = replace(stage, degradation="denoising")
        >>> stage.degradation, config_hash(ablation) == config_hash(stage)
        ('blind-face', False)
    """

    network: Net
    images: Images
    validation: Images
    train: TrainConfig
    degradation: str | Net = "blind-face"
    published: str | None = None


@dataclass(frozen=True)
class LatentEstimator:
    """Posterior mean of latents E[E(X) | E(Y)] from E(Y): the source that ELIR takes (appendix A.2, option 1).

    Examples:
        >>> from pmrf_blocks.autoencoders import SimVAE
        >>> from pmrf_blocks.estimators import RRDB
        >>> from pmrf_blocks.training import TrainConfig
        >>> faces, train = Images("faces", 64), TrainConfig(steps=100, batch_size=4)
        >>> vae = Autoencoder(Net(SimVAE, latent_channels=4), (faces,), faces, faces, train)
        >>> stage = LatentEstimator(Net(RRDB, channels=4), vae, faces, faces, train)
        >>> describe(stage)["autoencoder"]["class"]  # what it builds on is a part of it
        'Autoencoder'
    """

    network: Net
    autoencoder: Autoencoder
    images: Images
    validation: Images
    train: TrainConfig
    degradation: str | Net = "blind-face"


@dataclass(frozen=True)
class Flow:
    """A flow and what it runs between.

    Arguments:
        autoencoder: whose latents it runs in; None: in pixels.
        estimator, latent_estimator: what the source or the condition needs.
        source: 'posterior-mean' (in latents: the latent of the mean), 'degraded', 'noise', 'mean-of-latents', or a
            module of one's own, Net(MySource, ...), as those of restoration/sources.py.
        condition: what the velocity sees beside its state: None, 'degraded', 'posterior-mean'.
        source_noise: standard deviation of the noise added to the source.
        sample: whether the source's latent is drawn from its posterior, not its mode.
        loss: 'rectified' (eq. 3) or 'consistency' (ELIR's consistency flow matching).
        pixel_weight: weight of the squared error of the decoded end of the path (ELIR); costs a decoder pass.
        time: distribution of t in training.
        groups: 'single' trains all parameters at the rate and weight decay of `train`; 'k-diffusion' the mapping
            network at a third of the rate, with weight decay on projections alone.
        pair_rounds: train on cached pairs, this many degradations an image; 0: fresh ones at every step.
        pair_caches: the training has so many parts, each with a cache of its own.

    Examples:
        >>> from pmrf_blocks.training import TrainConfig
        >>> from pmrf_blocks.transformers import HourglassTransformer
        >>> faces, train = Images("faces", 64), TrainConfig(steps=100, batch_size=4)
        >>> velocity = Net(HourglassTransformer, in_channels=3)
        >>> flow = Flow(velocity, faces, faces, train, source="degraded")
        >>> flow.size, flow.estimator is None
        (64, True)
        >>> Flow(velocity, faces, faces, train)
        Traceback (most recent call last):
            ...
        ValueError: a flow from or conditioned on the posterior mean needs an estimator
    """

    velocity: Net
    images: Images
    validation: Images
    train: TrainConfig
    autoencoder: Autoencoder | None = None
    estimator: Estimator | None = None
    latent_estimator: LatentEstimator | None = None
    degradation: str | Net = "blind-face"
    source: str | Net = "posterior-mean"
    condition: str | None = None
    source_noise: float = 0.0
    loss: str = "rectified"
    pixel_weight: float = 0.0
    time: str = "uniform"
    groups: str = "single"
    pair_rounds: int = 0
    pair_caches: int = 1
    sample: bool = False

    def __post_init__(self) -> None:
        for name, valid in (("source", SOURCES), ("condition", CONDITIONS), ("loss", LOSSES)):
            value = getattr(self, name)
            if not isinstance(value, Net) and value not in valid:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, valid))}; got {value!r}")
        needs = {part for part in (self.source, self.condition) if isinstance(part, str)}
        if "posterior-mean" in needs and self.estimator is None:
            raise ValueError("a flow from or conditioned on the posterior mean needs an estimator")
        if "mean-of-latents" in needs and (self.latent_estimator is None or self.autoencoder is None):
            raise ValueError("a flow from the mean of latents needs an autoencoder and a latent_estimator")

    @property
    def size(self) -> int:
        """Side of the images that the flow is trained on, in pixels."""
        return self.images.crop or self.images.size

    def on(self, autoencoder: Autoencoder) -> Flow:
        """The same flow in the latents of another autoencoder."""
        channels = autoencoder.network.arguments["latent_channels"]
        return replace(self, autoencoder=autoencoder, velocity=self.velocity.changed(in_channels=channels))


@dataclass(frozen=True)
class Diffusion(Flow):
    """ResShift in a flow's place: from the degraded image, which its network sees too, by the transitions of `shift`.
    It has no perceptual loss; `source_noise`, `time` and `estimator` say nothing.

    Examples:
        >>> from pmrf_blocks.training import TrainConfig
        >>> from pmrf_blocks.transformers import HourglassTransformer
        >>> faces, train = Images("faces", 64), TrainConfig(steps=100, batch_size=4)
        >>> velocity = Net(HourglassTransformer, in_channels=6, out_channels=3)
        >>> stage = Diffusion(velocity, faces, faces, train)
        >>> stage.source, stage.condition, stage.shift.steps
        ('degraded', 'degraded', 4)
    """

    source: str | Net = "degraded"
    condition: str | None = "degraded"
    loss: str = "residual-shift"
    shift: ResidualShift = field(default_factory=ResidualShift)


@dataclass(frozen=True)
class Reflow(Flow):
    """A flow trained, from the teacher's weights on, to go straight to where the teacher's paths end, which it then
    reaches in few steps (Liu et al., 2023, section 2.2).

    Its pairs are cached (`pair_rounds`): sources with their noise, and where `teacher_steps` Heun steps of the
    teacher's velocity carry them.

    Examples:
        >>> from pmrf_blocks.training import TrainConfig
        >>> from pmrf_blocks.transformers import HourglassTransformer
        >>> faces, train = Images("faces", 64), TrainConfig(steps=100, batch_size=4)
        >>> velocity = Net(HourglassTransformer, in_channels=3)
        >>> teacher = Flow(velocity, faces, faces, train, source="degraded")
        >>> stage = Reflow(velocity, faces, faces, train, source="degraded", pair_rounds=1, teacher=teacher)
        >>> stage.teacher == teacher
        True
    """

    teacher: Flow | None = None
    teacher_steps: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.teacher is None or self.teacher.velocity != self.velocity:
            raise ValueError("a reflow needs a teacher with the same velocity network")
        if self.pair_rounds < 1 or self.teacher_steps < 1:
            raise ValueError("a reflow needs pairs: pair_rounds and teacher_steps of at least 1")


def reflow(teacher: Flow, **changes: Any) -> Reflow:
    """A Reflow that is its teacher but for `changes`, cached pairs among them.

    Examples:
        >>> from pmrf_blocks.training import TrainConfig
        >>> from pmrf_blocks.transformers import HourglassTransformer
        >>> faces, train = Images("faces", 64), TrainConfig(steps=100, batch_size=4)
        >>> velocity = Net(HourglassTransformer, in_channels=3)
        >>> teacher = Flow(velocity, faces, faces, train, source="degraded")
        >>> straight = reflow(teacher, teacher_steps=10)
        >>> straight.source, straight.pair_rounds, straight.teacher_steps
        ('degraded', 1, 10)
    """
    return Reflow(**{**vars(teacher), "teacher": teacher, "pair_rounds": 1, **changes})


@dataclass(frozen=True)
class Release:
    """A model to give away: Latent-PMRF, whose images another decoder draws, and PMRF in pixels for comparison. Where
    they are not told, Latent-PMRF restores in `steps` Euler steps and PMRF in its class's 25. `mean` is the estimator
    that Latent-PMRF ships with and restores from, where that is not the one that its flow was trained on; PMRF shares
    it.

    Examples:
        >>> from pmrf_blocks.training import TrainConfig
        >>> from pmrf_blocks.transformers import HourglassTransformer
        >>> faces, train = Images("faces", 64), TrainConfig(steps=100, batch_size=4)
        >>> velocity = Net(HourglassTransformer, in_channels=3)
        >>> from pmrf_blocks.autoencoders import SimVAE
        >>> vae = Autoencoder(Net(SimVAE, latent_channels=4), (faces,), faces, faces, train)
        >>> pixel = Flow(velocity, faces, faces, train, source="degraded")
        >>> release = Release(flow=pixel.on(vae), decoder=Decoder(vae, train), pixel=pixel, steps=10)
        >>> release.flow.velocity.arguments["in_channels"]
        4
    """

    flow: Flow
    decoder: Decoder
    pixel: Flow
    steps: int = 25
    mean: Estimator | None = None


Stage = Autoencoder | Decoder | Estimator | LatentEstimator | Flow | Release
