"""Networks of the published metrics, in the key layout of their published weight files.

inception.py  Inception-v3 as FID has it (pt_inception-2015-12-05-6726825d.pth)
dinov2.py     DINOv2's vision transformer (dinov2_vitl14_pretrain.pth)
arcface.py    the ArcFace ResNet-18 of VQFR's and PMRF's Deg (resnet18_110.pth)
awing.py      the stacked hourglass of their landmark distance (alignment_WFLW_4HG.pth)
resizing.py   the resizing that each of them was published with
"""

from pmrf_blocks.metrics.networks.arcface import ArcFaceResNet18
from pmrf_blocks.metrics.networks.awing import AWingHourglass
from pmrf_blocks.metrics.networks.dinov2 import DINOv2
from pmrf_blocks.metrics.networks.inception import FIDInceptionV3

__all__ = ["AWingHourglass", "ArcFaceResNet18", "DINOv2", "FIDInceptionV3"]
