"""What is trained, as frozen configurations. A stage holds the stages that it builds on, so that one value says how
every weight came to be; an ablation is dataclasses.replace of one field."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from pmrf_blocks.experiments.networks import Net
from pmrf_blocks.flow import ResidualShift
from pmrf_blocks.restoration.composition import CONDITIONS, SOURCES
from pmrf_blocks.training import TrainConfig
from pmrf_blocks.training.flow_tasks import LOSSES


@dataclass(frozen=True)
class Images:
    """Images of one folder below the data folder, or of any set.

    Arguments:
        folder: its name, or several joined by '+'; a list of images (.txt) is as good. Or Net(MySet, ...): a class or
            function that makes a map-style set or an iterable, as MapImages and IterableImages take them, or one of
            these, of which `key` and `skip` count and the framing is this one. Iterables can be trained on alone.
        size: the shorter side is brought to this many pixels.
        crop: side of the random crop; None takes the centre square.
        first: how many of them, in the order of their names; None takes all.
        flip: mirror half of the samples.
        degraded: folder of published degraded images, one of each image's name: tables and figures restore these where
            the degradation is the blind-face one.
        held_out: which images of a folder stand in where the data folder is a plain one: those held out, or all others.
        degradations: so many of each image are made beforehand, by all processors, and kept in RUNS; 0: a fresh one at
            every step. An accelerator learns faster than it degrades.
    """

    folder: str | Net
    size: int
    crop: int | None = None
    first: int | None = None
    flip: bool = False
    held_out: bool = False
    degraded: str | None = None
    degradations: int = 0

    @property
    def name(self) -> str:
        """The folder's, or that of what makes the set."""
        return self.folder if isinstance(self.folder, str) else self.folder.kind.__name__


CELEBA_TEST = Images("celeba-test/hq", 512, held_out=True, degraded="celeba-test/lq")


@dataclass(frozen=True)
class Autoencoder:
    """Arguments:
    images: what it is trained on; `faces` are what its latents are normalised over.
    perceptual: 'vgg19' (the paper's), 'efficientnet-lite1' (where those weights are not at hand), or 'none'.
    perceptual_weight, kl_weight: of the loss (eq. 9); KL is summed over the latent of a 256x256 crop.
    published: folder or hub id of a finished autoencoder in diffusers layout, instead of training one; with the
        folder inside a hub's repository after a colon ('black-forest-labs/FLUX.1-schnell:vae').
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

    @property
    def kl_weight_of_crop(self) -> float:
        """A smaller crop has a smaller latent: its KL weighs more, so that a pixel pays the same."""
        crop = self.images[0].crop or self.images[0].size
        return self.kl_weight * (256 / crop) ** 2


@dataclass(frozen=True)
class Decoder:
    """The decoder of an autoencoder, trained once more on fixed latents: what flows in them stays right."""

    autoencoder: Autoencoder
    train: TrainConfig
    perceptual: str = "vgg19"
    perceptual_weight: float = 0.05


@dataclass(frozen=True)
class Estimator:
    """Posterior mean E[X | Y] in pixels. `published` is a finished one: a folder or hub id, DifFace's .pth file, or the
    file of any network that spandrel reads (ForeignNetwork).

    `degradation` is a name of build_degradation(), or Net(MyDegradation, ...), here and in the stages below.
    """

    network: Net
    images: Images
    validation: Images
    train: TrainConfig
    degradation: str | Net = "blind-face"
    published: str | None = None


@dataclass(frozen=True)
class LatentEstimator:
    """Posterior mean of latents E[E(X) | E(Y)] from E(Y): the source that ELIR takes (appendix A.2, option 1)."""

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
    It has no perceptual loss; `source_noise`, `time` and `estimator` say nothing."""

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
    """A Reflow that is its teacher but for `changes`, cached pairs among them."""
    return Reflow(**{**vars(teacher), "teacher": teacher, "pair_rounds": 1, **changes})


@dataclass(frozen=True)
class Release:
    """A model to give away: Latent-PMRF, whose images another decoder draws, and PMRF in pixels for comparison; both
    restore in `steps` Euler steps where they are not told. `mean` is the estimator that Latent-PMRF ships with and
    restores from, where that is not the one that its flow was trained on; PMRF shares it."""

    flow: Flow
    decoder: Decoder
    pixel: Flow
    steps: int = 25
    mean: Estimator | None = None


Stage = Autoencoder | Decoder | Estimator | LatentEstimator | Flow | Release
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
    which all rows share; what is published is what it is."""
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
