"""What the blocks become.

pipelines.py    Pipeline: space, source, condition, velocity; what is trained is what restores
methods.py      LatentPMRF, PMRF, ELIR, ResShift, PosteriorMean
baselines.py    flow_from_degraded() and PMRF's other baselines
composition.py  compose(): a pipeline out of the names that configurations have for its parts
held_out.py     how held-out images are degraded and restored, in validation and in tables
spaces.py       Pixels, Latents
sources.py      what a flow starts from and what it sees
names.py        names of a pipeline's networks
published.py    PMRF's released checkpoints, for PMRF.from_published()
loading.py      load_restorer()
saving.py       what save_pretrained writes
cards.py        the model card that save_pretrained writes, and its picture
parts.py        parts and settings as config.json describes them
aligned.py      restore_crop(), restore_crops(): aligned crops of one face, of any size
photographs.py  restore_photograph(): faces found, aligned, restored, pasted back
videos.py       restore_video(): the same frame by frame, without flicker
foreign.py      ForeignNetwork: networks of other projects, by their files
backgrounds.py  Lanczos and SuperResolution, for what lies around the faces
simple.py       restore(): a path, a Pillow image, an array or a tensor
comparison.py   comparison(): images side by side with labels
errors.py       NonFiniteError
"""

from pmrf_blocks.restoration.aligned import RestoredCrop, restore_crop, restore_crops
from pmrf_blocks.restoration.backgrounds import SuperResolution
from pmrf_blocks.restoration.baselines import (
    flow_conditioned_on_degraded,
    flow_conditioned_on_mean,
    flow_from_degraded,
)
from pmrf_blocks.restoration.comparison import comparison
from pmrf_blocks.restoration.composition import compose
from pmrf_blocks.restoration.errors import NonFiniteError
from pmrf_blocks.restoration.foreign import ForeignNetwork
from pmrf_blocks.restoration.held_out import degrade_held_out, restore_held_out
from pmrf_blocks.restoration.loading import BUNDLED, load_restorer
from pmrf_blocks.restoration.methods import (
    ELIR,
    PMRF,
    LatentPMRF,
    PosteriorMean,
    ResShift,
)
from pmrf_blocks.restoration.photographs import FaceReport, RestoredPhotograph, restore_photograph
from pmrf_blocks.restoration.pipelines import Pipeline, Restored
from pmrf_blocks.restoration.simple import restore
from pmrf_blocks.restoration.sources import (
    BatchSpace,
    DegradedSource,
    LatentMeanSource,
    NoiseSource,
    PosteriorMeanSource,
)
from pmrf_blocks.restoration.spaces import Latents, Pixels
from pmrf_blocks.restoration.videos import VIDEO_SUFFIXES, WRITABLE_VIDEOS, VideoReport, restore_video

__all__ = [
    "BUNDLED",
    "ELIR",
    "PMRF",
    "VIDEO_SUFFIXES",
    "WRITABLE_VIDEOS",
    "BatchSpace",
    "DegradedSource",
    "FaceReport",
    "ForeignNetwork",
    "LatentMeanSource",
    "LatentPMRF",
    "Latents",
    "NoiseSource",
    "NonFiniteError",
    "Pipeline",
    "Pixels",
    "PosteriorMean",
    "PosteriorMeanSource",
    "ResShift",
    "Restored",
    "RestoredCrop",
    "RestoredPhotograph",
    "SuperResolution",
    "VideoReport",
    "comparison",
    "compose",
    "degrade_held_out",
    "flow_conditioned_on_degraded",
    "flow_conditioned_on_mean",
    "flow_from_degraded",
    "load_restorer",
    "restore",
    "restore_crop",
    "restore_crops",
    "restore_held_out",
    "restore_photograph",
    "restore_video",
]
