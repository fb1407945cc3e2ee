"""Posterior-mean estimators: degraded images (B, 3, H, W) in [0, 1] to an estimate of E[X | Y] of the same shape.
RRDB does the same on latents.

swinir.py  SwinIR, its presets difface_swinir() and pmrf_swinir(), load_swinir_weights()
swin.py    its transformer layers
rrdb.py    RRDB on latents, its preset elir_rrdb()
unet.py    UNet: small and convolutional, the estimator of the bundled model
"""

from pmrf_blocks.estimators.rrdb import RRDB, elir_rrdb
from pmrf_blocks.estimators.swinir import SwinIR, difface_swinir, load_swinir_weights, pmrf_swinir
from pmrf_blocks.estimators.unet import UNet

__all__ = ["RRDB", "SwinIR", "UNet", "difface_swinir", "elir_rrdb", "load_swinir_weights", "pmrf_swinir"]
