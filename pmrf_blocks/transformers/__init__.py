"""Hourglass transformers: velocity models.

hourglass.py    HourglassTransformer
block.py        Level and the layer it describes
layers.py       norms, feed-forward, mapping network
resample.py     token merge and split
groups.py       which parameters decay, which learn slowly
presets.py      the published sizes
k_diffusion.py  load_k_diffusion_weights(): published weights
k_diffusion_config.py  from_k_diffusion_config(): the network of a configuration file
"""

from pmrf_blocks.transformers.block import Level
from pmrf_blocks.transformers.hourglass import HourglassTransformer
from pmrf_blocks.transformers.k_diffusion import load_k_diffusion_weights
from pmrf_blocks.transformers.k_diffusion_config import from_k_diffusion_config
from pmrf_blocks.transformers.presets import PRESETS, latent_pmrf_hdit, pmrf_controlled_hdit, pmrf_hdit

__all__ = [
    "PRESETS",
    "HourglassTransformer",
    "Level",
    "from_k_diffusion_config",
    "latent_pmrf_hdit",
    "load_k_diffusion_weights",
    "pmrf_controlled_hdit",
    "pmrf_hdit",
]
