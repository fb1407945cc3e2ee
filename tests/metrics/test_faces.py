"""dlib's stand-ins, where the extra 'faces' is installed."""

import sys
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
    """Three aligned faces of different people, (3, 3, 256, 256) in [0, 1]."""
    paths = sorted(Path(shared_folder / "data" / "faces256" / "test").iterdir())[:30:10]
    arrays = [np.array(Image.open(path).convert("RGB")) for path in paths]
    return torch.stack([torch.from_numpy(array).permute(2, 0, 1) for array in arrays]) / 255.0


def built(kind):
    try:
        return kind()
    except Unavailable as error:
        pytest.skip(str(error))


def test_embeddings_tell_people_apart(faces):
    embedder = built(DlibEmbedder)
    blurred = torch.nn.functional.avg_pool2d(faces, 5, stride=1, padding=2, count_include_pad=False)
    people = embedder(faces)
    same = identity_degrees(embedder(blurred), people)
    others = identity_degrees(people.roll(1, 0), people)
    assert float(same.max()) < float(others.min())


def test_landmarks_move_with_the_picture(faces):
    detector = built(DlibLandmarks)
    points = detector(faces)
    assert points.shape == (3, 68, 2)
    chin, left_eye, right_eye, nose = points[:, 8], points[:, 36:42].mean(1), points[:, 42:48].mean(1), points[:, 30]
    assert bool((left_eye[:, 0] < nose[:, 0]).all() & (nose[:, 0] < right_eye[:, 0]).all())
    assert bool((left_eye[:, 1] < nose[:, 1]).all() & (nose[:, 1] < chin[:, 1]).all())
    moved = detector(faces.roll(6, 3))
    shift = (moved - points).mean(1)
    assert float((shift - torch.tensor([6.0, 0.0])).abs().max()) < 2.0
    assert 4.0 < float(landmark_distance(moved, points).mean()) < 8.0


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(Unavailable, match=r"install pmrf-blocks\[faces\]"):
        DlibEmbedder()
