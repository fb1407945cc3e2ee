"""Estimators of the posterior mean E[X | Y].

unet.py  UNet: small and fast, of the bundled model
"""

from pmrf_blocks.estimators.unet import UNet

__all__ = ["UNet"]
