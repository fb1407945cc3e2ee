"""Autoencoders: SimVAE, SDVAE and every ablation between them. Images are (B, 3, H, W) in [-1, 1].

sim_vae.py    SimVAE
sd_vae.py     SDVAE: the same with SD-VAE's choices
networks.py   encoder and decoder
design.py     their choices: names, or classes and functions of one's own
blocks.py     residual blocks, the attention of the middle
resize.py     resizing layers
shortcuts.py  shortcuts without parameters around resizing layers
norms.py      normalisation layers
locality.py   what a layer must see: halo, scale, or the whole image
tiling.py     encoding and decoding in tiles
posterior.py  the Gaussian that encode() returns
balance.py    how unbalanced the feature maps are (figure 8)
published.py  load_autoencoder(), save_diffusers(): published weights
"""

from pmrf_blocks.autoencoders.balance import Imbalance, feature_balance, feature_magnitudes
from pmrf_blocks.autoencoders.design import Design
from pmrf_blocks.autoencoders.locality import WHOLE, Locality
from pmrf_blocks.autoencoders.posterior import DiagonalGaussian
from pmrf_blocks.autoencoders.published import load_autoencoder, save_diffusers
from pmrf_blocks.autoencoders.sd_vae import SDVAE
from pmrf_blocks.autoencoders.sim_vae import SimVAE

__all__ = [
    "SDVAE",
    "WHOLE",
    "Design",
    "DiagonalGaussian",
    "Imbalance",
    "Locality",
    "SimVAE",
    "feature_balance",
    "feature_magnitudes",
    "load_autoencoder",
    "save_diffusers",
]
