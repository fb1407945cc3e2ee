"""Autoencoders: SimVAE and its parts.

sim_vae.py    SimVAE, its encoder and decoder
blocks.py     residual blocks and resizing layers
norms.py      normalisation layers by name
posterior.py  the Gaussian that encode() returns
"""

from pmrf_blocks.autoencoders.posterior import DiagonalGaussian
from pmrf_blocks.autoencoders.sim_vae import SimVAE

__all__ = ["DiagonalGaussian", "SimVAE"]
