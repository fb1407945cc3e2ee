"""dlib's face embedding and 68 landmarks: stand-ins for ArcFace and AWing that packages on the index carry."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from pmrf_blocks.metrics.networks.resizing import to_bytes
from pmrf_blocks.metrics.weights import Unavailable

# Where the face is in an FFHQ-aligned crop, as (left, top, right, bottom) of its sides: the median of the 97 boxes that
# dlib's detector found in 100 aligned crops. A fixed box gives a face in every image, however damaged, and the same
# one; landmarks of 60 other crops lay 0.2 pixels (of 256) from those of the detected box on average, 1.4 at most.
ALIGNED_BOX = (0.180, 0.316, 0.789, 0.926)


class _Dlib:
    """The loaded models, and the fixed box."""

    def __init__(self, model: str) -> None:
        try:
            dlib, models = import_module("dlib"), _model_paths()
        except ImportError:
            raise Unavailable("install pmrf-blocks[faces] (dlib-bin and face_recognition_models)") from None
        self.dlib: Any = dlib
        self.points = dlib.shape_predictor(models("shape_predictor_68_face_landmarks.dat"))
        self.network = dlib.face_recognition_model_v1(models(model)) if model else None

    def each(self, x: Tensor, work: Callable[[Any, Any], list[Any]]) -> Tensor:
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"images must be (B, 3, H, W) in [0, 1]; got {tuple(x.shape)}")
        height, width = x.shape[2:]
        left, top, right, bottom = ALIGNED_BOX
        box = self.dlib.rectangle(
            round(left * width), round(top * height), round(right * width) - 1, round(bottom * height) - 1
        )
        rows = []
        for image in to_bytes(x).byte().permute(0, 2, 3, 1).contiguous().cpu().numpy():
            rows.append(work(image, self.points(image, box)))
        return torch.tensor(rows, dtype=torch.float64)


class DlibEmbedder(_Dlib):
    """Embeddings (B, 128) of FFHQ-aligned faces (B, 3, H, W) in [0, 1], on the CPU.

    dlib's network was trained so that Euclidean distances below 0.6 mean one person; angles between its embeddings
    are smaller than ArcFace's and compare with nothing but one another.
    """

    def __init__(self) -> None:
        super().__init__("dlib_face_recognition_resnet_model_v1.dat")

    def __call__(self, x: Tensor) -> Tensor:
        return self.each(x, lambda image, shape: list(self.network.compute_face_descriptor(image, shape)))  # type: ignore[union-attr]


class DlibLandmarks(_Dlib):
    """68 landmarks (B, 68, 2), x then y, in pixels of FFHQ-aligned faces (B, 3, H, W) in [0, 1], on the CPU.

    The regression trees give whole pixels. The model was trained on iBUG 300-W, whose licence excludes commercial use.
    """

    def __init__(self) -> None:
        super().__init__("")

    def __call__(self, x: Tensor) -> Tensor:
        return self.each(x, lambda image, shape: [(point.x, point.y) for point in shape.parts()])


def _model_paths() -> Callable[[str], str]:
    """Path of a model file by name. The package's own module needs pkg_resources, which setuptools has given up."""
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise ImportError("face_recognition_models")
    folder = Path(spec.origin).parent / "models"
    return lambda name: str(folder / name)
