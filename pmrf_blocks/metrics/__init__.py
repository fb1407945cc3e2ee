"""Metrics. Images are (B, 3, H, W) in [0, 1].

psnr.py                psnr(), psnr_y(), ind_rmse(): errors against a reference, one number an image
structural.py          ssim(), ms_ssim(), and both in one pass
frechet.py             frechet_distance(), and Moments that are gathered batch by batch
mmd.py                 mmd_rbf(), biased and unbiased
principal.py           principal_components(): distances of few images
identity.py            identity_degrees(), of any face embedder
landmarks.py           landmark_distance(), of any landmark detector
efficientnet_lite0.py  features without a download, a stand-in for Inception-v3 and DINOv2
dlib_faces.py          dlib's embedding and landmarks, stand-ins for ArcFace and AWing
networks/              Inception-v3, DINOv2, ArcFace and AWing, for their published weight files
iqa.py                 LPIPS, DISTS, NIQE, CLIP-IQA, MUSIQ and Q-Align, of pyiqa
protocols.py           named protocols, with a hash
evaluation.py          folders measured under a protocol; image_sets.py reads them, report.py prints the scores
scores.py              Score, Evaluation: what that gives
statistics.py          reference statistics in a file
bootstrap.py           confidence intervals
torchmetrics_classes.py  the same as classes of torchmetrics, an optional package
"""

from pmrf_blocks.metrics.bootstrap import bootstrap_interval
from pmrf_blocks.metrics.efficientnet_lite0 import EfficientNetLite0, efficientnet_lite0_features
from pmrf_blocks.metrics.evaluation import Evaluator
from pmrf_blocks.metrics.frechet import Moments, frechet_distance
from pmrf_blocks.metrics.identity import identity_degrees
from pmrf_blocks.metrics.landmarks import landmark_distance
from pmrf_blocks.metrics.mmd import mmd_rbf
from pmrf_blocks.metrics.principal import PrincipalComponents, principal_components
from pmrf_blocks.metrics.protocols import PROTOCOLS, Protocol, find_protocol
from pmrf_blocks.metrics.psnr import ind_rmse, luma, psnr, psnr_y
from pmrf_blocks.metrics.registry import METRICS, list_metrics
from pmrf_blocks.metrics.scores import Evaluation, Score
from pmrf_blocks.metrics.statistics import Statistics
from pmrf_blocks.metrics.structural import MS_SSIM_WEIGHTS, Structural, ms_ssim, ssim, structural_similarities

__all__ = [
    "METRICS",
    "MS_SSIM_WEIGHTS",
    "PROTOCOLS",
    "EfficientNetLite0",
    "Evaluation",
    "Evaluator",
    "Moments",
    "PrincipalComponents",
    "Protocol",
    "Score",
    "Statistics",
    "Structural",
    "bootstrap_interval",
    "efficientnet_lite0_features",
    "find_protocol",
    "frechet_distance",
    "identity_degrees",
    "ind_rmse",
    "landmark_distance",
    "list_metrics",
    "luma",
    "mmd_rbf",
    "ms_ssim",
    "principal_components",
    "psnr",
    "psnr_y",
    "ssim",
    "structural_similarities",
]
