"""Losses of the autoencoder.

perceptual.py  PerceptualLoss, a distance in feature maps; perceptual_loss(), the same by name
features.py    VGG19Features (the paper's) and EfficientNetLiteFeatures (offline stand-in)
"""

from pmrf_blocks.losses.features import EfficientNetLiteFeatures, FeatureNetwork, VGG19Features
from pmrf_blocks.losses.perceptual import REAL_ESRGAN_WEIGHTS, PerceptualLoss, perceptual_loss

__all__ = [
    "REAL_ESRGAN_WEIGHTS",
    "EfficientNetLiteFeatures",
    "FeatureNetwork",
    "PerceptualLoss",
    "VGG19Features",
    "perceptual_loss",
]
