"""Finding the faces of a photograph, of any size and however turned."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.faces.frame import Face, apply, inverse, similarity
from pmrf_blocks.faces.turning import quarters_to_upright, turned
from pmrf_blocks.faces.warping import warp

DETECTORS = ("auto", "yunet", "dlib")
REDUCED = 640  # pixels of the longer side at which the pyramid ends
TILE = 2048  # larger levels are searched in tiles, in bounded memory
LOOK = 224  # side of the square in which a face that was found is looked at again
LOOK_FACE = 112  # longer side of the face in it: at this size YuNet told the upright of four turns in 20 of 20 faces
TURN = 2.0  # by how much the logit of a face's score must grow for it to be taken as turned by a quarter
ALIKE = 1.4  # by what a face's size may differ between two looks at it
# Longer sides at which an aligned face is looked at once more, plain and mirrored, and the least mean score: of 338
# faces in degraded photographs, 14 had less, and of 15 blossoms, walls and lights that were taken for faces, 11. A high
# score is no reason to leave this out: a necklace had 0.978, and 0.21 here.
SIZES_AGAIN, STEADY = (85, 145), 0.63
SURE = 0.97  # score of a face by which a photograph stands as it should


class DetectorUnavailable(RuntimeError):
    """No detector can be had here; the message says in one line what to do."""


class Detector(Protocol):
    """Finds faces between `smallest` and `largest` pixels in an image (3, H, W) in [0, 1], the best first.

    Examples:
        >>> eyes_nose_mouth = torch.tensor([[0.35, 0.45], [0.65, 0.45], [0.5, 0.6], [0.4, 0.75], [0.6, 0.75]])
        >>> class Centre:  # takes the middle of each picture for a face
        ...     looks_again, smallest, largest, template = False, 1, 512, eyes_nose_mouth
        ...     def __call__(self, image):
        ...         side = min(image.shape[-2:]) / 2
        ...         box = (side / 2, side / 2, 1.5 * side, 1.5 * side)
        ...         return [Face(box, side / 2 + side * self.template, self.template, score=1.0)]
        >>> find_faces(torch.rand(3, 64, 64), Centre())[0].side
        32.0
    """

    looks_again: bool
    smallest: int
    largest: int
    template: Tensor

    def __call__(self, image: Tensor) -> list[Face]: ...


def build_detector(name: str = "auto") -> Detector:
    """The detector called `name`: 'yunet', 'dlib', or 'auto', the first of the two that is at hand.

    Raises ValueError for another name, DetectorUnavailable where it cannot be had.

    Examples:
        >>> try:
        ...     build_detector("retinaface")
        ... except ValueError as error:
        ...     print(error)
        detector must be one of 'auto', 'yunet', 'dlib'; got 'retinaface'
    """
    if name not in DETECTORS:
        raise ValueError(f"detector must be one of {', '.join(map(repr, DETECTORS))}; got {name!r}")
    reasons = []
    if name in ("auto", "yunet"):
        try:
            from pmrf_blocks.faces.yunet import YuNet

            return YuNet()
        except Exception as error:  # kornia's download fails in many ways; each means that there are no weights
            cache = Path(torch.hub.get_dir()) / "checkpoints" / "yunet_final.pth"
            reasons.append(
                f"YuNet's weights are not at {cache} and cannot be fetched ({_short(error)}): connect once, "
                "or copy yunet_final.pth there"
            )
    if name in ("auto", "dlib"):
        try:
            from pmrf_blocks.faces.dlib_mmod import DlibMMOD

            return DlibMMOD()
        except ImportError:
            reasons.append("for --detector dlib install pmrf-blocks[faces]")
    raise DetectorUnavailable(f"no face detector: {'; '.join(reasons)}; aligned crops are restored by --aligned")


def _short(error: Exception) -> str:
    if isinstance(error, RuntimeError) and "Failed to load weights" in str(error):
        return "no network" if "Name or service" in str(error) or "URLError" in str(error) else "download failed"
    return (str(error).splitlines() or [type(error).__name__])[0]


@torch.no_grad()
def find_faces(image: Tensor, detector: Detector, *, smallest: float = 24) -> list[Face]:
    """The faces of a photograph, the largest first.

    The photograph is searched at its full size and at halves of it down to 640 pixels, where large faces are found.
    With a detector that `looks_again`, each face that was found is looked at again at one size, upright and turned by
    quarters, and once more aligned by its landmarks: that gives the landmarks of turned faces. Last it is looked at in
    two other sizes and mirrored: what looked like a face by chance does not look like one each time, and is dropped.
    A photograph with faces that lie on their side or head is searched once more so turned that they stand. One in
    which no face is sure is tried on its sides, and one without any on its head too, at 640 pixels; it is searched in
    those turns that show a better face.

    Arguments:
        image: (3, H, W) in [0, 1].
        smallest: faces whose box's longer side is below this many pixels are left out.

    Examples:
        >>> class Nothing:
        ...     looks_again, smallest, largest = False, 1, 512
        ...     def __call__(self, image):
        ...         return []
        >>> find_faces(torch.rand(3, 64, 64), Nothing())  # a detector finds them: build_detector(), or one's own
        []
    """
    faces = _found(image, detector)
    if detector.looks_again:
        lies = {quarters_to_upright(face) for face in faces}
        best = _best_score(faces)
        if best < SURE:  # a wall that looks like a face must not hide that all others lie
            # On its head the photograph is tried without a face alone: a true one of 0.87 had 0.997 there.
            turns = (1, 3) if faces else (1, 2, 3)
            small = _resized(image, min(1.0, REDUCED / max(image.shape[-2:])))
            lies |= {quarters for quarters in turns if _best_score(_found(turned(small, quarters)[0], detector)) > best}
        for quarters in sorted(lies - {0}):
            upright, matrix = turned(image, quarters)
            faces += [_mapped(face, matrix) for face in _found(upright, detector)]
        faces = _distinct(faces)
    return sorted((face for face in faces if face.side >= smallest), key=lambda face: -face.side)


def _best_score(faces: Sequence[Face]) -> float:
    return max((face.score for face in faces), default=0.0)


def _found(image: Tensor, detector: Detector) -> list[Face]:
    """The faces that a detector, which is trained on upright ones, finds in a photograph as it lies."""
    candidates: list[Face] = []
    scale, last = 1.0, False
    while not last:
        last = scale * max(image.shape[-2:]) <= REDUCED
        level = _resized(image, scale)
        for face in _search(level, detector):
            if last or face.side <= detector.largest / 2:
                candidates.append(_rescaled(face, level, image))
        scale /= 2
    faces = _distinct(candidates)
    if not detector.looks_again:
        return faces
    looked = (_look_again(image, face, detector) for face in faces)
    return _distinct([face for face in looked if face is not None and _steady(image, face, detector)])


def _resized(image: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[-2:])
    return F.interpolate(image[None], (height, width), mode="bilinear", antialias=scale < 1)[0]


def _search(level: Tensor, detector: Detector) -> list[Face]:
    height, width = level.shape[-2:]
    if max(height, width) <= TILE:
        return detector(level)
    overlap = detector.largest // 2
    found = []
    for top in _starts(height, overlap):
        for left in _starts(width, overlap):
            offset = torch.tensor([left, top], dtype=torch.float32)
            for face in detector(level[:, top : top + TILE, left : left + TILE]):
                x0, y0, x1, y1 = face.box
                box = (x0 + left, y0 + top, x1 + left, y1 + top)
                found.append(dataclasses.replace(face, box=box, landmarks=face.landmarks + offset))
    return found


def _starts(length: int, overlap: int) -> Sequence[int]:
    if length <= TILE:
        return [0]
    count = math.ceil((length - overlap) / (TILE - overlap))
    return [round(i * (length - TILE) / (count - 1)) for i in range(count)]


def _rescaled(face: Face, level: Tensor, image: Tensor) -> Face:
    x, y = image.shape[-1] / level.shape[-1], image.shape[-2] / level.shape[-2]
    left, top, right, bottom = face.box
    box = ((left + 0.5) * x - 0.5, (top + 0.5) * y - 0.5, (right + 0.5) * x - 0.5, (bottom + 0.5) * y - 0.5)
    return dataclasses.replace(face, box=box, landmarks=(face.landmarks + 0.5) * torch.tensor([x, y]) - 0.5)


def _distinct(faces: Sequence[Face]) -> list[Face]:
    """The best of faces that share over 0.3 of their area, or over 0.6 of the smaller one's."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if not any(_same(face, other) for other in kept):
            kept.append(face)
    return kept


def _same(face: Face, other: Face) -> bool:
    (a0, b0, a1, b1), (c0, d0, c1, d1) = face.box, other.box
    common = max(0.0, min(a1, c1) - max(a0, c0)) * max(0.0, min(b1, d1) - max(b0, d0))
    first, second = (a1 - a0) * (b1 - b0), (c1 - c0) * (d1 - d0)
    return common > 0.3 * (first + second - common) or common > 0.6 * min(first, second)


def _look_again(image: Tensor, face: Face, detector: Detector) -> Face | None:
    """The face as seen at one size in its best orientation; None where nothing is seen there."""
    seen = []
    for quarter in range(4):
        matrix = _turned(face, quarter * math.pi / 2)
        best = _middle(_look(image, matrix, detector))
        seen.append((_logit(best.score) if best else -math.inf, matrix, best))
    upright, highest = seen[0], max(seen, key=lambda entry: entry[0])
    _, matrix, best = highest if highest[0] > upright[0] + TURN else upright
    if best is None:
        return None
    found = _mapped(best, matrix)
    if not _alike(found, face):  # one that fills the picture: the square shows too little around it
        found = face
    try:
        aligned = _upright(found, LOOK_FACE)
    except ValueError:
        return None
    again = _middle(_look(image, aligned, detector))
    if again is None or _logit(again.score) < _logit(best.score) - TURN:
        return found
    better = _mapped(again, aligned)
    return better if _alike(better, found) else found


def _steady(image: Tensor, face: Face, detector: Detector) -> bool:
    """Whether the face is seen in other sizes and mirrored as well."""
    scores = []
    for size in SIZES_AGAIN:
        square = warp(image, _upright(face, size), LOOK, LOOK, padding="border").clamp(0, 1)
        for view in (square, square.flip(-1)):
            best = _middle(detector(view))
            scores.append(best.score if best else 0.0)
    return sum(scores) / len(scores) >= STEADY


def _upright(face: Face, size: float) -> Tensor:
    """Similarity that brings the face upright to the middle of the square, its longer side about `size`.

    Raises ValueError for landmarks that no face has.
    """
    # The template is a face of about 0.75 of the crop's side.
    return similarity(face.landmarks, (face.template - 0.5) * (size / 0.75) + LOOK / 2)


def _alike(face: Face, other: Face) -> bool:
    return 1 / ALIKE < face.side / max(other.side, 1e-6) < ALIKE


def _turned(face: Face, angle: float) -> Tensor:
    """Similarity that brings the face to the middle of the square, turned by `angle`."""
    scale = LOOK_FACE / max(face.side, 1.0)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    x, y = face.centre
    middle = (LOOK - 1) / 2
    return torch.tensor(
        [[cos, -sin, middle - cos * x + sin * y], [sin, cos, middle - sin * x - cos * y]], dtype=torch.float64
    )


def _look(image: Tensor, matrix: Tensor, detector: Detector) -> list[Face]:
    return detector(warp(image, matrix, LOOK, LOOK, padding="border").clamp(0, 1))


def _middle(faces: Sequence[Face]) -> Face | None:
    """The best face whose centre is near that of the square."""
    near = [face for face in faces if math.dist(face.centre, ((LOOK - 1) / 2,) * 2) < LOOK / 5]
    return max(near, key=lambda face: face.score, default=None)


def _logit(score: float) -> float:
    score = min(max(score, 1e-6), 1 - 1e-6)
    return math.log(score / (1 - score))


def _mapped(face: Face, matrix: Tensor) -> Face:
    """A face in the square, in the photograph's pixels. Its box is that of the ellipse in the box."""
    back = inverse(matrix)
    left, top, right, bottom = face.box
    centre = apply(back, torch.tensor([face.centre], dtype=torch.float64))[0]
    half = back[:, :2] @ torch.diag(torch.tensor([right - left, bottom - top], dtype=torch.float64) / 2)
    width, height = half.square().sum(1).sqrt().tolist()
    x, y = centre.tolist()
    return Face((x - width, y - height, x + width, y + height), apply(back, face.landmarks), face.template, face.score)
