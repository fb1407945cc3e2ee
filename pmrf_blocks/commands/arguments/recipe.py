"""Arguments of the recipes: python -m recipes.NAME."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Common:
    data: Path = Path("data")
    """Folder of images. As the recipes know it: ffhq512, lsdir512, celeba-test at the paper's scale (`pmrf-blocks
    prepare` makes them), faces256/train, faces256/val, faces256/test and photos at the smaller ones. Or one with train
    and val (and test). Or any other: of its images a sixteenth, chosen by a hash of the file's name, is held out."""
    runs: Path = Path("runs")
    """Where run folders go. A configuration that is finished there is not trained again, and one that was broken off
    goes on where it stopped."""
    scale: Literal["paper", "release", "small", "debug"] = "paper"
    """'paper' is the paper's own; 'release' what its authors published, in the recipes where that differs; 'small' the
    same, smaller, on a CPU, in minutes to hours; 'debug' in seconds."""
    vgg19: Path | None = None
    """torchvision's vgg19 weights (vgg19-dcbb9e9d.pth), for the paper's perceptual loss."""
    inception: Path | None = None
    """FID's Inception-v3 (pt_inception-2015-12-05-6726825d.pth): the validation of flows then logs val_fid. Without it
    val_fd_efficientnet_lite0, a stand-in that needs no download."""
    estimator: str | None = None
    """A finished posterior-mean estimator: DifFace's .pth file, that of any network that spandrel reads, a folder, a
    hub id (OWNER/NAME[@REVISION][:FOLDER]), or 'bundled', the one that ships (at the smaller scales). Trained here when
    not given."""
    autoencoder: str | None = None
    """A finished autoencoder for latent flows: a folder or hub id in diffusers layout (OWNER/NAME[@REVISION][:FOLDER]),
    or 'bundled'."""
    device: str | None = None
    """'cpu', 'cuda', ...; the fastest there is when not given."""
    threads: int | None = None
    """CPU threads of this process; all cores when not given. Several are faster by OMP_NUM_THREADS=n."""
    workers: int | None = None
    """Processes that read images; the recipe's own number when not given."""
    compile: str | None = None
    """Backend of torch.compile, such as 'inductor'."""
    gradient_checkpointing: bool = False
    """Less memory, a third more time."""
    trackers: tuple[str, ...] | None = None
    """Accelerate's trackers, such as tensorboard and wandb; the recipe's own when not given."""
    show: bool = False
    """Print the whole configuration as JSON, every value that decides a weight, and stop."""
    plan: str | None = None
    """Print what every stage costs on this device (a100, h100, h200, rtx4090, or cpu, which is measured here):
    parameters, operations, memory, hours; and stop. Needs no images: those of --data are counted, where they are
    there, for flows that cache pairs."""
    json: bool = False
    """Print the plan as JSON."""
    processes: int = 1
    """Of --plan: as many as torchrun's --nproc-per-node."""


@dataclass(frozen=True)
class StageArguments(Common):
    stage: Annotated[str | None, tyro.conf.arg(aliases=["-s"])] = None
    """Train this part alone (autoencoder, estimator, flow, ...): parts can be trained side by side. What it builds on
    must be finished."""
    start: str | None = None
    """A pipeline ('bundled', a folder or a hub id, OWNER/NAME[@REVISION]): parts that RUNS lacks are taken from it, not
    trained."""
    weights: Path | None = None
    """Where the finished pipeline goes; the folder 'pipeline' of its run when not given."""
    seed: int = 0
    """Of the start, the order of the images, their crops, degradations and noise."""
    precision: Literal["fp32", "bf16"] | None = None
    """The recipe's own when not given."""
    accumulate: int | None = None
    """Micro-batches an update: the same batch in less memory."""
    pair_rounds: int | None = None
    """Train a flow on so many degradations an image, computed and encoded beforehand: for a degradation that is fixed,
    or an encoder that costs more than the flow. 0: fresh ones at every step. The recipe's own number when not given."""
    pairs: Path | None = None
    """Folder that keeps these pairs on the disk, for sets that memory does not hold and for other runs."""


@dataclass(frozen=True)
class TableArguments(Common):
    output: Path | None = None
    """Where NAME.md, NAME.json and the picture go; RUNS/pages when not given (pages of this repository:
    docs/results)."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Every row is trained once for each; the table has mean and standard deviation over them."""
    on: str | None = None
    """Folder below DIR whose faces are measured on, such as faces256/val, which are like those trained on; the recipe's
    own when not given."""
    degradation_seeds: int = 1
    """So many degradations of each of them."""
    limit: int | None = None
    """Measure on the first so many faces only."""
    parts: tuple[str, ...] = ()
    """Only these parts of a table: 'reconstruction' trains autoencoders alone, 'restoration' the flows."""
    rows: tuple[str, ...] = ()
    """Only these rows of a table, or curves of a figure, by their labels; a figure's page comes with all its curves."""
    methods: tuple[str, ...] = ()
    """Networks of other projects as rows of table 4, LABEL=FILE: any checkpoint that spandrel reads (GFP-GAN,
    RestoreFormer, SwinIR, RRDB; CodeFormer with spandrel_extra_arches). Beside the paper's numbers, where the table has
    that label."""
    metrics: tuple[str, ...] = ()
    """Measure these too (ms_ssim, lpips, dists, deg, lmd, musiq, q_align, clip_iqa, niqe, fid, fd_dinov2, mmd_dinov2,
    deg_dlib, ...), as `evaluate` names them. At the paper's scale the paper's are measured unasked, wherever their
    weights are at hand; the page says what is not."""
    metric_weights: tuple[str, ...] = ()
    """Published files, NAME=FILE, as `evaluate --weights` takes them (arcface, awing, inception, dinov2, niqe, lpips,
    ...): what they are for is measured."""
    minutes: float = math.inf
    """Begin nothing more after so many minutes, and write the page with what there is."""
    save_images: bool = False
    """Write all measured images, of a figure those of every piece, as PNG files to RUNS/results, for `pmrf-blocks
    evaluate`: the paper's own metrics need weights that are not downloaded here."""
    allow_dirty: bool = False
    """Write the page though files differ from the commit that it names; it then says so."""
