"""Every metric by name: what it compares with, how it is built, and what it is called in tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pmrf_blocks.metrics.dlib_faces import DlibEmbedder, DlibLandmarks
from pmrf_blocks.metrics.efficientnet_lite0 import EfficientNetLite0
from pmrf_blocks.metrics.networks import ArcFaceResNet18, AWingHourglass, DINOv2, FIDInceptionV3
from pmrf_blocks.metrics.weights import Unavailable, file_digest, fill, locate, read_state


@dataclass(frozen=True)
class Metric:
    """Arguments:
    label: in tables.
    better: 'higher' or 'lower'.
    compares: 'reference' or 'posterior mean' image by image, 'nothing', or 'distribution' of the reference set.
    extractor: name of the network in EXTRACTORS that it needs, or ''.
    stand_in: what it stands in for; such numbers are labelled in every table.
    squares: the set's number is the root of the mean square of the images' numbers, not their mean.
    """

    label: str
    better: str
    compares: str
    extractor: str = ""
    stand_in: str = ""
    squares: bool = False


METRICS: dict[str, Metric] = {
    "psnr": Metric("PSNR", "higher", "reference"),
    "psnr_y": Metric("PSNR-Y", "higher", "reference"),
    "ssim": Metric("SSIM", "higher", "reference"),
    "ms_ssim": Metric("MS-SSIM", "higher", "reference"),
    "lpips": Metric("LPIPS", "lower", "reference"),
    "lpips_vgg": Metric("LPIPS-VGG", "lower", "reference"),
    "dists": Metric("DISTS", "lower", "reference"),
    "deg": Metric("Deg", "lower", "reference", "arcface"),
    "lmd": Metric("LMD", "lower", "reference", "awing"),
    "deg_dlib": Metric("Deg-dlib", "lower", "reference", "dlib_embedding", "Deg (ArcFace)"),
    "lmd_dlib": Metric("LMD-dlib", "lower", "reference", "dlib_landmarks", "LMD (98 points of AWing)"),
    "ind_rmse": Metric("IndRMSE", "lower", "posterior mean", squares=True),
    "niqe": Metric("NIQE", "lower", "nothing"),
    "clip_iqa": Metric("CLIP-IQA", "higher", "nothing"),
    "musiq": Metric("MUSIQ", "higher", "nothing"),
    "q_align": Metric("Q-Align", "higher", "nothing"),
    "fid": Metric("FID", "lower", "distribution", "inception"),
    "fd_dinov2": Metric("FD-DINOv2", "lower", "distribution", "dinov2"),
    "mmd_dinov2": Metric("MMD-DINOv2", "lower", "distribution", "dinov2"),
    "fd_efficientnet_lite0": Metric("FD-Lite0", "lower", "distribution", "efficientnet_lite0", "FID and FD-DINOv2"),
    "mmd_efficientnet_lite0": Metric("MMD-Lite0", "lower", "distribution", "efficientnet_lite0", "MMD-DINOv2"),
}


def list_metrics() -> list[str]:
    """Names that Evaluator and evaluate --metrics take; METRICS says what each compares and needs.

    Examples:
        >>> "psnr" in list_metrics()
        True
    """
    return list(METRICS)


@dataclass(frozen=True)
class Extractor:
    """A network, ready, and its identity: name, preprocessing and digest of the weights."""

    identity: str
    run: Callable[[Tensor], Tensor]


Builder = Callable[[Mapping[str, str], torch.device], Extractor]


def check_metrics(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in METRICS:
            raise ValueError(f"metric must be one of {', '.join(map(repr, METRICS))}; got {name!r}")
    return tuple(dict.fromkeys(names))


def build_extractor(name: str, *, weights: Mapping[str, str], device: torch.device) -> Extractor:
    """The network called `name`; Unavailable where its package or its weights are not at hand."""
    return EXTRACTORS[name](weights, device)


def _published(
    name: str, published: str, network: type[nn.Module], preparation: str, unused: tuple[str, ...] = ()
) -> Builder:
    """A builder of a network whose weights are a published file."""

    def build(weights: Mapping[str, str], device: torch.device) -> Extractor:
        path = locate(name, weights, published)
        state = read_state(path)
        with torch.device("meta"):  # initial weights would be drawn only to be replaced
            module: nn.Module = _dinov2(state, path) if network is DINOv2 else network()
        module = module.to_empty(device=device)
        fill(module, state, path, unused=unused)
        return Extractor(f"{name}, {preparation}, weights {file_digest(path)}", torch.no_grad()(module))

    return build


def _dinov2(state: Mapping[str, Tensor], path: Path) -> DINOv2:
    try:
        network = DINOv2.shaped_like(state)
    except ValueError as error:
        raise Unavailable(f"{path}: {error}") from None
    if network.pos_embed.shape[2] != 1024:
        raise Unavailable(f"{path} is of width {network.pos_embed.shape[2]}; these metrics are of ViT-L/14, width 1024")
    return network


def _dlib(kind: Callable[[], Any], identity: str) -> Builder:
    return lambda weights, device: Extractor(identity, kind())


def _efficientnet_lite0(weights: Mapping[str, str], device: torch.device) -> Extractor:
    try:
        return Extractor("efficientnet-lite0, bicubic to 224", EfficientNetLite0().to(device))
    except ImportError as error:
        raise Unavailable(str(error)) from None


EXTRACTORS: dict[str, Builder] = {
    "inception": _published(
        "inception", "pt_inception-2015-12-05-6726825d.pth", FIDInceptionV3, "TensorFlow 1 bilinear to 299", ("fc.",)
    ),
    "dinov2": _published("dinov2", "dinov2_vitl14_pretrain.pth", DINOv2, "bicubic to 224"),
    "arcface": _published("arcface", "resnet18_110.pth", ArcFaceResNet18, "grey, bilinear to 128"),
    "awing": _published("awing", "alignment_WFLW_4HG.pth", AWingHourglass, "bilinear to 256"),
    "efficientnet_lite0": _efficientnet_lite0,
    "dlib_embedding": _dlib(DlibEmbedder, "dlib face_recognition_resnet_model_v1, fixed box"),
    "dlib_landmarks": _dlib(DlibLandmarks, "dlib shape_predictor_68_face_landmarks, fixed box"),
}
