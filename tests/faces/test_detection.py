"""Finding faces: sizes, turns, borders, several, none, and what is said where there is no detector."""

import importlib.util
import math
import sys
import warnings

import pytest
import torch
import torch.nn.functional as F

from pmrf_blocks.faces import DetectorUnavailable, Face, build_detector, find_faces, warp
from pmrf_blocks.faces.turning import quarters_to_upright, turned
from pmrf_blocks.faces.yunet import TEMPLATE


def scaled(image, scale):
    return F.interpolate(image[None], scale_factor=scale, mode="bilinear", antialias=True)[0].clamp(0, 1)


def agrees(face, expected, *, scale=1.0, offset=(0.0, 0.0), share=0.12):
    """Landmarks within `share` of the face's side of those expected."""
    landmarks = (expected.landmarks + 0.5) * scale - 0.5 + torch.tensor(offset)
    return float((face.landmarks - landmarks).abs().max()) < share * expected.side * scale


def test_one_face_each(people, yunet):
    for image in people[:3]:
        faces = find_faces(image, yunet)
        assert len(faces) == 1
        assert faces[0].score > 0.9
        eyes, mouth = faces[0].landmarks[:2].mean(0), faces[0].landmarks[3:].mean(0)
        assert eyes[1] < faces[0].landmarks[2, 1] < mouth[1]


@pytest.mark.parametrize("scale", [0.3, 2.5])
def test_sizes(people, yunet, scale):
    """Small faces are found at full size, large ones at a reduced one; nothing is found twice."""
    for image in people[1:2]:
        (expected,) = find_faces(image, yunet)
        (face,) = find_faces(scaled(image, scale), yunet)
        assert agrees(face, expected, scale=scale)


def test_a_small_face_in_a_large_photograph(people, yunet):
    """Searched at 640 pixels alone this face would have a dozen pixels."""
    small = scaled(people[1], 0.12)
    (expected,) = find_faces(people[1], yunet)
    image = torch.full((3, 700, 1400), 0.5)
    image[:, 500 : 500 + small.shape[1], 1100 : 1100 + small.shape[2]] = small
    (face,) = find_faces(image, yunet, smallest=16)
    assert 16 <= face.side < 40
    assert agrees(face, expected, scale=0.12, offset=(1100, 500), share=0.2)
    assert find_faces(image, yunet, smallest=80) == []


@pytest.mark.parametrize("degrees", [40, 180, 270])
def test_turned_faces_have_turned_landmarks(people, yunet, degrees):
    for image in people[1:2]:
        (expected,) = find_faces(image, yunet)
        angle, size = math.radians(degrees), 640
        cos, sin = math.cos(angle), math.sin(angle)
        x, y = (image.shape[2] - 1) / 2, (image.shape[1] - 1) / 2
        middle = (size - 1) / 2
        matrix = torch.tensor(
            [[cos, -sin, middle - cos * x + sin * y], [sin, cos, middle - sin * x - cos * y]], dtype=torch.float64
        )
        lying = warp(image, matrix, size, size, padding="zeros").clamp(0, 1)
        (face,) = find_faces(lying, yunet)
        landmarks = expected.landmarks @ matrix[:, :2].float().T + matrix[:, 2].float()
        assert float((face.landmarks - landmarks).abs().max()) < 0.15 * expected.side


def test_several_faces_and_faces_cut_by_the_border(people, yunet):
    parts = [F.pad(scaled(people[i], 0.5)[:, :200, :200], (20, 20, 20, 20)) for i in (0, 1, 4, 5)]
    group = torch.cat([torch.cat(parts[:2], 2), torch.cat(parts[2:], 2)], 1)
    assert len(find_faces(group, yunet)) == 4
    (whole,) = find_faces(people[1], yunet)
    left, _, right, _ = whole.box
    cut = people[1][:, :, int(left + 0.3 * (right - left)) :]
    (face,) = find_faces(cut, yunet)
    assert face.box[0] < 0.1 * face.side
    assert face.landmarks[:, 0].max() < cut.shape[2]


def test_no_face(yunet, generator):
    assert find_faces(torch.rand(3, 100, 140, generator=generator), yunet) == []
    assert find_faces(torch.zeros(3, 5, 3), yunet) == []


@pytest.mark.skipif(importlib.util.find_spec("dlib") is None, reason="dlib is not installed")
def test_dlib_finds_the_same_face(people, yunet):
    (expected,) = find_faces(people[1], yunet)
    (face,) = find_faces(people[1], build_detector("dlib"))
    ours, theirs = (found.to_frame(256) for found in (face, expected))
    corners = torch.tensor([[0.0, 0, 1], [256, 0, 1], [0, 256, 1], [256, 256, 1]], dtype=torch.float64)
    back = [torch.linalg.inv(torch.cat([m, torch.tensor([[0.0, 0, 1]])])) for m in (ours, theirs)]
    frames = [(corners @ matrix.T)[:, :2] for matrix in back]
    assert float((frames[0] - frames[1]).abs().max()) < 0.2 * expected.side


def test_without_a_detector_one_line_says_what_to_do(monkeypatch, tmp_path, capsys, recwarn):
    import kornia.contrib

    def no_network(**options):
        warnings.warn("Transient failure", stacklevel=2)
        print("Downloading", file=sys.stderr)
        raise RuntimeError("Failed to load weights from all 2 source(s). Last error: URLError: ...")

    monkeypatch.setattr(kornia.contrib, "FaceDetector", no_network)
    monkeypatch.setattr("pmrf_blocks.faces.dlib_mmod.find_spec", lambda name: None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DetectorUnavailable) as caught:
        build_detector("auto")
    message = str(caught.value)
    assert "\n" not in message
    assert not recwarn.list
    assert capsys.readouterr().err == ""
    for part in (str(tmp_path), "yunet_final.pth", "pmrf-blocks[faces]", "--aligned"):
        assert part in message
    with pytest.raises(ValueError, match="detector must be one of 'auto', 'yunet', 'dlib'; got 'eyes'"):
        build_detector("eyes")


class Moody:
    """A detector of one face of this score in the middle of whatever it is shown, which it sees at its first `times`
    looks alone."""

    looks_again, smallest, largest, template = True, 10, 400, torch.tensor(TEMPLATE)

    def __init__(self, times, score):
        self.times, self.score = times, score

    def __call__(self, image):
        self.times -= 1
        if self.times < 0:
            return []
        middle, side = torch.tensor([image.shape[-1] / 2, image.shape[-2] / 2]), 100.0
        (x, y), half = middle.tolist(), side / 2
        landmarks = middle + (self.template - 0.5) * side / 0.75
        return [Face((x - half, y - half, x + half, y + half), landmarks, self.template, self.score)]


@pytest.mark.parametrize("score", [0.9, 0.99])
def test_what_is_not_seen_in_other_sizes_and_mirrored_is_no_face(score):
    """One search, four turns, one look aligned; then four looks of which three must see it."""
    image = torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(0))
    assert [len(find_faces(image, Moody(6 + seen, score))) for seen in range(5)] == [0, 0, 0, 1, 1]


class Dots:
    """A detector of the one face whose eyes are a red and a green dot and whose mouth is a blue one. As YuNet is blind
    for some faces that lie, it sees none that is turned by more than 45 degrees."""

    looks_again, smallest, largest, template = True, 10, 400, torch.tensor(TEMPLATE)

    def __init__(self):
        self.searched = []

    def __call__(self, image):
        self.searched.append(tuple(image.shape[-2:]))
        dots = image > 0.5
        if not bool(dots.flatten(1).any(1).all()):
            return []
        *eyes, mouth = (dot.nonzero().float().mean(0).flip(0) for dot in dots)
        left, right = sorted(eyes, key=lambda eye: float(eye[0]))
        across, down = right - left, mouth - (left + right) / 2
        if across[0] <= across[1].abs() or down[1] <= down[0].abs():
            return []
        nose = (left + right + mouth) / 3
        landmarks = torch.stack([left, right, nose, mouth - across / 3, mouth + across / 3])
        (x, y), half = nose.tolist(), float(across.norm())
        return [Face((x - half, y - half, x + half, y + half), landmarks, self.template, 0.9)]


def dotted(*, height=700, width=900):
    image = torch.zeros(3, height, width)
    for channel, (x, y) in enumerate([(500, 200), (560, 200), (530, 260)]):
        image[channel, y - 5 : y + 6, x - 5 : x + 6] = 1
    return image


class Deceived(Dots):
    """It takes a grey square for a face as well, whichever way it lies, and is less sure of it."""

    def __call__(self, image):
        found = super().__call__(image)
        grey = ((image > 0.3) & (image < 0.5)).all(0).nonzero().float().flip(1)
        if len(grey) < 100:
            return found
        middle, side = grey.mean(0), float(grey.max(0).values[0] - grey.min(0).values[0])
        (x, y), half = middle.tolist(), side / 2
        landmarks = middle + (self.template - 0.5) * side / 0.75
        return [*found, Face((x - half, y - half, x + half, y + half), landmarks, self.template, 0.8)]


@pytest.mark.parametrize("quarters", [0, 1, 3])
def test_what_is_taken_for_a_face_does_not_hide_faces_that_lie(quarters):
    image = dotted()
    image[:, 450:550, 150:250] = 0.4
    assert [face.score for face in find_faces(torch.rot90(image, quarters, (1, 2)), Dots())] == [0.9]
    scores = [face.score for face in find_faces(torch.rot90(image, quarters, (1, 2)), Deceived())]
    assert sorted(scores) == [0.8, 0.9]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_faces_that_are_seen_upright_alone_are_found_in_photographs_that_lie(quarters):
    (expected,) = find_faces(dotted(), Dots())
    lying = torch.rot90(dotted(), quarters, (1, 2))
    (face,) = find_faces(lying, Dots())
    upright = face.to_frame(64) - expected.to_frame(64)
    back, matrix = turned(lying, (4 - quarters) % 4)
    assert torch.equal(back, dotted())
    landmarks = face.landmarks @ matrix[:, :2].float().T + matrix[:, 2].float()
    assert float((landmarks - expected.landmarks).abs().max()) < 2
    assert quarters_to_upright(face) == (4 - quarters) % 4
    assert float(upright.abs().max()) > 1  # the frame turns with the face


def test_a_photograph_without_faces_is_tried_in_other_turns_at_a_reduced_size():
    detector = Dots()
    assert find_faces(torch.zeros(3, 1000, 1200), detector) == []
    assert sorted(detector.searched) == [(500, 600), (533, 640), (640, 533), (640, 533), (1000, 1200)]


def test_a_photograph_that_stands_is_not_searched_in_other_turns():
    detector = Dots()
    find_faces(dotted(), detector)
    assert detector.searched.count((700, 900)) == 1
    assert (900, 700) not in detector.searched
