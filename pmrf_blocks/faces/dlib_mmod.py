"""dlib's detector (a network trained by max-margin object detection; King, 2015) and its five landmarks."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from pmrf_blocks.faces.frame import Face

# Median landmarks that it found in 60 FFHQ-aligned crops, made symmetric, as shares of the side: outer and inner corner
# of the left eye, of the right eye, base of the nose. Left is the picture's left.
TEMPLATE = ((0.330, 0.472), (0.428, 0.4766), (0.670, 0.472), (0.572, 0.4766), (0.5, 0.6523))


class DlibMMOD:
    """Finds upright faces of 80 pixels and more; slow without CUDA. Landmarks: corners of the eyes, base of the nose.

    The 68-landmark model is not used: its training data excludes commercial use. ImportError where dlib or
    face_recognition_models is not installed.
    """

    looks_again, smallest, largest = False, 80, 400

    def __init__(self) -> None:
        dlib = import_module("dlib")
        spec = find_spec("face_recognition_models")
        if spec is None or spec.origin is None:
            raise ImportError("face_recognition_models")
        models = Path(spec.origin).parent / "models"
        self.template = torch.tensor(TEMPLATE)
        self._network = dlib.cnn_face_detection_model_v1(str(models / "mmod_human_face_detector.dat"))
        self._points = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))

    def __call__(self, image: Tensor) -> list[Face]:
        """Faces in (3, H, W) in [0, 1], the best first."""
        array = (image.clamp(0, 1) * 255.0).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
        faces = []
        for found in self._network(array, 0):
            box = found.rect
            # The model's order is right eye outer, inner, left eye outer, inner of the picture.
            points = [(point.x, point.y) for point in self._points(array, box).parts()]
            landmarks = torch.tensor([points[index] for index in (2, 3, 0, 1, 4)], dtype=torch.float32)
            edges = (float(box.left()), float(box.top()), float(box.right()), float(box.bottom()))
            faces.append(Face(edges, landmarks, self.template, min(1.0, float(found.confidence))))
        return sorted(faces, key=lambda face: -face.score)
