"""Metrics. Images are (B, 3, H, W) in [0, 1].

psnr.py                psnr(), psnr_y(), ind_rmse(): errors against a reference, one number an image
structural.py          ssim(), ms_ssim(), and both in one pass
frechet.py             frechet_distance(), and Moments that are gathered batch by batch
mmd.py                 mmd_rbf(), biased and unbiased
identity.py            identity_degrees(), of any face embedder
landmarks.py           landmark_distance(), of any landmark detector
efficientnet_lite0.py  features without a download, a stand-in for Inception-v3 and DINOv2
"""

from pmrf_blocks.metrics.efficientnet_lite0 import EfficientNetLite0, efficientnet_lite0_features
from pmrf_blocks.metrics.frechet import Moments, frechet_distance
from pmrf_blocks.metrics.identity import identity_degrees
from pmrf_blocks.metrics.landmarks import landmark_distance
from pmrf_blocks.metrics.mmd import mmd_rbf
from pmrf_blocks.metrics.psnr import ind_rmse, luma, psnr, psnr_y
from pmrf_blocks.metrics.structural import MS_SSIM_WEIGHTS, Structural, ms_ssim, ssim, structural_similarities

__all__ = [
    "MS_SSIM_WEIGHTS",
    "EfficientNetLite0",
    "Moments",
    "Structural",
    "efficientnet_lite0_features",
    "frechet_distance",
    "identity_degrees",
    "ind_rmse",
    "landmark_distance",
    "luma",
    "mmd_rbf",
    "ms_ssim",
    "psnr",
    "psnr_y",
    "ssim",
    "structural_similarities",
]
