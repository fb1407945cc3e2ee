"""The same faces from frame to frame of a video, with landmarks that do not tremble."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pmrf_blocks.faces.frame import Face
from pmrf_blocks.faces.pasting import crop_face

NEAR = 0.35  # of its side: how far a face may have moved since the last frame
ALIKE = 1.4  # how much larger or smaller it may have become
STILL = 0.03  # of its side: landmarks that moved by less are mostly the detector's noise
SLOWEST = 0.15  # share of a new frame in the landmarks of a face that keeps still
PATIENCE = 3  # frames for which a face that the detector misses is held
CHANGED = 0.06  # mean difference of pixels in [0, 1] at which what is under a missed face is something else
GLANCE = 24  # side of the crop by which that is seen
LOOSE = 0.7  # of the threshold, below which a face that was restored is no longer


@dataclass
class Track:
    """A face over time: where it was last, its look there, for how many frames it was missed, and whether it was
    restored."""

    face: Face
    look: Tensor
    missed: int = 0
    restored: bool = False


class FaceTracker:
    """Faces of the frames of a video, in turn.

    Landmarks follow a face that moves and are averaged over time where it keeps still, by an exponential filter whose
    rate grows with the movement (Casiez et al., 2012, the 1 euro filter). A face that the detector misses is held for
    some frames if its place looks as it did, and one that was restored stays restored at a lower threshold: neither
    flickers.

    Examples:
        >>> eyes_nose_mouth = torch.tensor([[0.35, 0.45], [0.65, 0.45], [0.5, 0.6], [0.4, 0.75], [0.6, 0.75]])
        >>> def seen(x):
        ...     return Face((x, 10, x + 40, 50), torch.tensor([x, 10]) + 40 * eyes_nose_mouth, eyes_nose_mouth, 0.9)
        >>> tracker, frame = FaceTracker(), torch.full((3, 64, 96), 0.5)
        >>> [round(tracker(frame, [seen(x)])[0].box[0], 2) for x in (20.0, 20.4, 19.8)]  # trembles less
        [20.0, 20.06, 20.02]
        >>> len(tracker(frame, []))  # missed in one frame: held
        1
    """

    def __init__(self) -> None:
        self._tracks: list[Track] = []
        self._now: dict[int, Track] = {}

    def __call__(self, image: Tensor, found: Sequence[Face]) -> list[Face]:
        """The faces of the next frame (3, H, W) in [0, 1] with smoothed boxes and landmarks, from those `found` in it,
        and those that were missed; the largest first."""
        free, seen = list(self._tracks), []
        for face in found:
            track = min(free, key=lambda track: math.dist(track.face.centre, face.centre), default=None)
            if track is not None and _same(track.face, face):
                free.remove(track)
                face = _smoothed(track.face, face)
                seen.append(replace(track, face=face, look=_look(image, face), missed=0))
            else:
                seen.append(Track(face, _look(image, face)))
        for track in free:
            if track.missed < PATIENCE and float((_look(image, track.face) - track.look).abs().mean()) < CHANGED:
                seen.append(replace(track, missed=track.missed + 1))
        self._tracks = sorted(seen, key=lambda track: -track.face.side)
        self._now = {id(track.face): track for track in self._tracks}
        return [track.face for track in self._tracks]

    def least_change(self, face: Face, threshold: float) -> float:
        """By how much the model has to change a face of this frame for it to be restored."""
        track = self._now.get(id(face))
        return threshold * LOOSE if track is not None and track.restored else threshold

    def remember(self, face: Face, restored: bool) -> None:
        """Whether a face of this frame was restored."""
        if id(face) in self._now:
            self._now[id(face)].restored = restored


def _same(one: Face, other: Face) -> bool:
    ratio = one.side / other.side
    return math.dist(one.centre, other.centre) < NEAR * one.side and 1 / ALIKE < ratio < ALIKE


def _smoothed(last: Face, new: Face) -> Face:
    moved = float((new.landmarks - last.landmarks).square().sum(-1).mean().sqrt()) / last.side
    rate = min(1.0, max(SLOWEST, (moved / STILL) ** 2))
    box = torch.lerp(torch.tensor(last.box), torch.tensor(new.box), rate).tolist()
    landmarks = torch.lerp(last.landmarks, new.landmarks, rate)
    return replace(new, box=(box[0], box[1], box[2], box[3]), landmarks=landmarks)


def _look(image: Tensor, face: Face) -> Tensor:
    return crop_face(image, face.to_frame(GLANCE), GLANCE)
