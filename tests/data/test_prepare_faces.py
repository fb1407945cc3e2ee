"""pmrf-blocks prepare faces: what is cut out of photographs, what is left out, going on after a stop."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from told_faces import Told

from pmrf_blocks.cli import main
from pmrf_blocks.commands import face_crops, prepare
from pmrf_blocks.faces import DetectorUnavailable, crop_face


@pytest.fixture
def photograph(tmp_path):
    """200x160, smooth, so that a crop can be compared with the picture."""
    y, x = np.mgrid[0:160, 0:200] / 40
    pixels = np.stack([np.sin(x + y), np.cos(x - 2 * y), np.sin(3 * x)], -1) * 100 + 128
    path = tmp_path / "album" / "trip" / "one.jpg.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(pixels.round().astype(np.uint8)).save(path)
    return path


def run(monkeypatch, tmp_path, detector, *more):
    for module in (face_crops, prepare):
        monkeypatch.setattr(module, "detector_called", lambda name: detector)
    line = ["prepare", "faces", str(tmp_path / "album"), "-o", str(tmp_path / "out"), "--recursive", *more]
    return main(line)


def test_faces_are_aligned_the_largest_first(monkeypatch, tmp_path, photograph, capsys):
    told = Told((60, 90, 40), (130, 70, 60))
    assert run(monkeypatch, tmp_path, told, "--size", "48") == 0
    assert "2 written, 0 there already, 0 with problems" in capsys.readouterr().out
    image = torch.from_numpy(np.array(Image.open(photograph))).permute(2, 0, 1).float() / 255
    faces = sorted(told(image), key=lambda face: -face.side)
    for number, face in enumerate(faces):
        made = np.asarray(Image.open(tmp_path / "out" / "trip" / f"one.jpg_{number}.png"))
        expected = crop_face(image, face.to_frame(48), 48) * 255
        assert np.abs(made - expected.permute(1, 2, 0).numpy()).max() <= 0.501
    assert json.loads((tmp_path / "out" / "prepare.json").read_text()) == {
        "set": "faces", "size": 48, "detector": "auto",
    }  # fmt: skip


def test_small_faces_and_those_beyond_the_border_are_left_out(monkeypatch, tmp_path, photograph, capsys):
    frame = 40 / 0.75  # a face of 40 pixels fills three quarters of its frame
    inside = frame / 2 - 0.05 * frame  # a twentieth of the crop beyond the border is let through
    told = Told((inside, 80, 40), (200 - inside, 80, 40), (frame / 2 - 0.2 * frame, 80, 40), (100, 80, 30))
    assert run(monkeypatch, tmp_path, told, "--size", "52") == 0
    assert len(list((tmp_path / "out").rglob("*.png"))) == 2


def test_a_photograph_without_faces_is_no_problem(monkeypatch, tmp_path, photograph, capsys):
    assert run(monkeypatch, tmp_path, Told(), "--size", "48") == 0
    assert "1 found; 0 written" in capsys.readouterr().out


def test_the_same_command_goes_on(monkeypatch, tmp_path, photograph, capsys):
    told = Told((60, 90, 40), (130, 70, 60))
    run(monkeypatch, tmp_path, told, "--size", "48")
    first = tmp_path / "out" / "trip" / "one.jpg_0.png"
    before = first.read_bytes()
    assert run(monkeypatch, tmp_path, Told(), "--size", "48") == 0  # looks for no faces again
    assert "0 written, 2 there already" in capsys.readouterr().out
    first.unlink()  # as after a kill: the largest is written last
    assert run(monkeypatch, tmp_path, told, "--size", "48") == 0
    assert first.read_bytes() == before
    assert run(monkeypatch, tmp_path, told, "--size", "40") == 2  # another size wants another folder


def test_without_a_detector_one_line_says_what_to_do(monkeypatch, tmp_path, photograph, capsys):
    def missing(name):
        raise DetectorUnavailable("no face detector: install one")

    monkeypatch.setattr(prepare, "detector_called", missing)
    assert main(["prepare", "faces", str(tmp_path / "album"), "-o", str(tmp_path / "out"), "--recursive"]) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1] == "pmrf-blocks prepare: no face detector: install one"
    assert not (tmp_path / "out").exists()
