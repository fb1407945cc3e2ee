"""Faces that are held out, or known, are found again in other crops of their photograph."""

import numpy as np
import pytest
from PIL import Image

from docs.make.apart import Arguments, likeness, main, views


@pytest.fixture
def photographs():
    """Smooth random pictures of 300x300 pixels."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (4, 9, 9, 3), dtype=np.uint8)
    return [Image.fromarray(one).resize((300, 300), Image.Resampling.BICUBIC) for one in small]


def save(image, path, box, size=134):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize((size, size), Image.Resampling.LANCZOS, box=box).save(path)


def test_what_is_held_out_or_known_is_left_out(photographs, tmp_path):
    for number, photograph in enumerate(photographs):
        save(photograph, tmp_path / "cut" / f"{number:04d}_0.png", (50, 50, 250, 250))
    save(photographs[0], tmp_path / "cut" / "0000_1.png", (0, 0, 100, 100))  # another face of the first photograph
    save(photographs[0], tmp_path / "val" / "a.png", (56, 44, 246, 234), 256)  # shifted by 3 %, and 5 % smaller
    save(photographs[1], tmp_path / "train" / "b.png", (50, 50, 250, 250), 256)
    line = main(Arguments(*(tmp_path / name for name in ("cut", "val", "train", "out"))))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0002_0.png", "0003_0.png"]
    assert line.endswith("2 of 5 faces; 1 may be held out, 1 are known")


def test_whole_photographs_of_held_out_faces(photographs, tmp_path):
    for number, photograph in enumerate(photographs[:3]):
        save(photograph, tmp_path / "cut" / f"{number:04d}_0.png", (50, 50, 250, 250))
        save(photograph, tmp_path / "photos" / f"{number:04d}.png", (0, 0, 300, 300))
    for number in (0, 1):
        save(photographs[number], tmp_path / "val" / f"{number}.png", (50, 50, 250, 250), 256)
    save(photographs[1], tmp_path / "train" / "b.png", (50, 50, 250, 250), 256)  # held out and yet known: not taken
    folders = (tmp_path / name for name in ("cut", "val", "train", "out", "photos"))
    assert main(Arguments(*folders)).endswith("1 photographs of faces that are held out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["0000.png"]


def test_views_are_unit_vectors_and_alike_to_themselves(photographs, tmp_path):
    save(photographs[0], tmp_path / "a.png", (0, 0, 300, 300))
    own = np.stack(list(views(tmp_path / "a.png", 1, (1.0,))))
    assert own.shape == (9, 20 * 20 * 3)
    np.testing.assert_allclose(np.linalg.norm(own, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(likeness(own[4:5], [tmp_path / "a.png"], 1, (1.0,)), 1.0, rtol=1e-5)
