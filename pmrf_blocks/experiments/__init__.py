"""The one engine of all recipes: what is trained, measured and written down.

networks.py    Net: a network class with its arguments
image_sets.py  Images: which images
stages.py      what is trained, as frozen configurations
parts.py       the stages that one is built of
config.py      the config hash; what --show prints
place.py       where images are read and runs are written
fitting.py     trained(): a stage, trained once and found again
release.py     whole pipelines out of finished stages
evaluation.py  the faces that tables are measured on
tables.py      rows and seeds
curves.py      convergence, and the speed-up read off it
pages.py       result pages
costs.py       what a training step costs, counted on the meta device
plan.py        --plan: what a recipe costs before it starts
launch.py      the command line of every recipe
"""

from pmrf_blocks.analysis.verdicts import Claim
from pmrf_blocks.experiments.config import config_hash, describe, stage_name
from pmrf_blocks.experiments.curves import Figure
from pmrf_blocks.experiments.fitting import trained
from pmrf_blocks.experiments.image_sets import CELEBA_TEST, Images
from pmrf_blocks.experiments.launch import launch
from pmrf_blocks.experiments.networks import Net
from pmrf_blocks.experiments.parts import with_seed
from pmrf_blocks.experiments.place import Place
from pmrf_blocks.experiments.stages import (
    Autoencoder,
    Decoder,
    Diffusion,
    Estimator,
    Flow,
    LatentEstimator,
    Reflow,
    Release,
    reflow,
)
from pmrf_blocks.experiments.tables import Row, Table

__all__ = [
    "CELEBA_TEST", "Autoencoder", "Claim", "Decoder", "Diffusion", "Estimator", "Figure", "Flow", "Images",
    "LatentEstimator", "Net", "Place", "Reflow", "Release", "Row", "Table", "config_hash", "describe", "launch",
    "reflow", "stage_name", "trained", "with_seed",
]  # fmt: skip
