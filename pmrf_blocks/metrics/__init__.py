"""Metrics. Images are (B, 3, H, W) in [0, 1].

distortion.py    psnr(), ssim(), ms_ssim(), ind_rmse(): against a reference, one number an image
distribution.py  frechet_distance(), mmd_rbf(): between sets of features
features.py      feature extractors
"""

from pmrf_blocks.metrics.distortion import MS_SSIM_WEIGHTS, ind_rmse, ms_ssim, psnr, ssim
from pmrf_blocks.metrics.distribution import frechet_distance, mmd_rbf
from pmrf_blocks.metrics.features import EfficientNetLite0, efficientnet_lite0_features

__all__ = [
    "MS_SSIM_WEIGHTS",
    "EfficientNetLite0",
    "efficientnet_lite0_features",
    "frechet_distance",
    "ind_rmse",
    "mmd_rbf",
    "ms_ssim",
    "psnr",
    "ssim",
]
