"""Training: one loop for every stage.

loop.py         fit(): the loop
run.py          the state of one run and its single update
config.py       TrainConfig: its hyper-parameters
precision.py    float32 or bfloat16
preparation.py  device, memory format, compilation
tasks.py        what autoencoder and estimator minimise
flow_tasks.py   what a pipeline's velocity minimises
pairs.py        a flow's pairs computed beforehand, in memory
pair_folder.py  the same on the disk
pair_shards.py  one file of these
schedule.py     learning rate by step
ema.py          moving average of the weights
checkpoint.py   checkpoints, written whole or not at all
randomness.py   global random numbers of a step, for what takes no generator
resuming.py     what must stay as it is for a run to go on
lock.py         one run a folder
guard.py        which updates are made, which are skipped
interruption.py Ctrl-C between two steps
processes.py    this process among those that train together
inspection.py   what is wrong with a run's images, before its first step
errors.py       what ends a run
features.py     what validation measures sets of images by
validation.py   scores and pictures on held-out images
records.py      what a run writes about itself
summary.py      what a trained model came from, read off its run
frame.py        what a command that trains does before and after
allocator.py    memory that a step frees, kept for the next
environment.py  versions and hardware for the records
export.py       the network that a run ends with
"""

from pmrf_blocks.training.config import TrainConfig
from pmrf_blocks.training.degraded_images import DegradedImages, write_degraded
from pmrf_blocks.training.errors import TrainingError
from pmrf_blocks.training.flow_tasks import FlowTask, LatentMeanTask
from pmrf_blocks.training.loop import fit
from pmrf_blocks.training.pair_folder import PairFolder, write_pairs
from pmrf_blocks.training.pairs import PairDataset, precompute_pairs
from pmrf_blocks.training.tasks import AutoencoderTask, PosteriorMeanTask, latent_statistics

__all__ = [
    "AutoencoderTask",
    "FlowTask",
    "LatentMeanTask",
    "PairDataset",
    "PairFolder",
    "PosteriorMeanTask",
    "TrainConfig",
    "TrainingError",
    "fit",
    "latent_statistics",
    "precompute_pairs",
    "write_degraded",
    "write_pairs",
]
