"""dlib's stand-ins, where the extra 'faces' is installed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pmrf_blocks.metrics import identity_degrees, landmark_distance
from pmrf_blocks.metrics.dlib_faces import DlibEmbedder, DlibLandmarks
from pmrf_blocks.metrics.weights import Unavailable


@pytest.fixture(scope="module")
def faces(shared_folder):
    """Four aligned faces of different people, (4, 3, 256, 256) in [0, 1]."""
    paths = sorted(Path(shared_folder / "data" / "faces256" / "test").iterdir())[:40:10]
    arrays = [np.array(Image.open(path).convert("RGB")) for path in paths]
    return torch.stack([torch.from_numpy(array).permute(2, 0, 1) for array in arrays]) / 255.0


def test_embeddings_tell_people_apart(faces):
    pytest.importorskip("dlib")
    pytest.importorskip("face_recognition_models", exc_type=ImportError)
    embedder = DlibEmbedder()
    blurred = torch.nn.functional.avg_pool2d(faces, 5, stride=1, padding=2, count_include_pad=False)
    same = identity_degrees(blurred, faces, embedder)
    others = identity_degrees(faces.roll(1, 0), faces, embedder)
    assert float(same.max()) < float(others.min())
    assert float(identity_degrees(faces, faces, embedder).max()) == pytest.approx(0.0, abs=1e-5)


def test_landmarks_move_with_the_picture(faces):
    pytest.importorskip("dlib")
    pytest.importorskip("face_recognition_models", exc_type=ImportError)
    detector = DlibLandmarks()
    points = detector(faces)
    assert points.shape == (4, 68, 2)
    chin, left_eye, right_eye, nose = points[:, 8], points[:, 36:42].mean(1), points[:, 42:48].mean(1), points[:, 30]
    assert bool((left_eye[:, 0] < nose[:, 0]).all() & (nose[:, 0] < right_eye[:, 0]).all())
    assert bool((left_eye[:, 1] < nose[:, 1]).all() & (nose[:, 1] < chin[:, 1]).all())
    moved = detector(faces.roll(6, 3))
    shift = (moved - points).mean(1)
    assert float((shift - torch.tensor([6.0, 0.0])).abs().max()) < 2.0
    assert 4.0 < float(landmark_distance(moved, points).mean()) < 8.0


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dlib", None)
    with pytest.raises(Unavailable, match=r"install pmrf-blocks\[faces\]"):
        DlibEmbedder()
