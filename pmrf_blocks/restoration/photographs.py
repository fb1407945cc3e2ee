"""Restoring the faces of a photograph: found, aligned, restored, and pasted back where they were.

The order of steps is GFPGAN's (Wang et al., 2021, released code); what is pasted is what the model changed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.faces import Detector, Face, Tone, crop_face, feathered_mask, find_faces, paste_face
from pmrf_blocks.faces.pasting import keep_mean_colour
from pmrf_blocks.images import LoadedImage
from pmrf_blocks.restoration.backgrounds import enlarge_lanczos
from pmrf_blocks.restoration.pipelines import Restored

CHOICES = ("all", "largest", "center")
UPSCALES = (1, 2, 4)
CLEAN = "clean already"
LARGEST = 2  # times the model's working size: a larger face has detail that the model cannot give back
# A share of the mean's detail. Chosen on 59 photographs in five sizes, degraded as docs/results/photographs.md degrades
# others: 3 of 294 lightly degraded faces changed by more, of which 167 would have lost PSNR; of 293 of medium
# degradation 276 did, of which one lost (0.2 dB).
MIN_CHANGE = 0.55
# The highest of 0, 0.2, ... 1 at which every restored face gained PSNR, of six of those photographs in three sizes at
# medium and strong degradation: +0.06 dB or more; at 0.6 one lost 0.07, at 1 0.40.
WEIGHT = 0.4
BATCH = 4  # faces restored at once


class FaceRestorer(Protocol):
    """What restore_photograph() asks of a pipeline."""

    size: int

    @property
    def restore(self) -> Callable[..., Restored]:
        """restore(images, **options) of aligned crops (B, 3, size, size) in [0, 1]."""


@dataclass(frozen=True)
class FaceReport:
    """What became of one face.

    Attributes:
        face: where it is in the photograph, before it was enlarged.
        restored: whether it was; else `reason` says why it was left alone.
        before, after: the aligned crop (3, S, S) in [0, 1] and what the model made of it; `after` is None of a face
            left alone, `before` of one that the model never saw.
        seconds: its share of the time in the model.

    Examples:
        >>> from pmrf_blocks.faces import Face
        >>> from pmrf_blocks.images import LoadedImage
        >>> eyes_nose_mouth = torch.tensor([[0.35, 0.45], [0.65, 0.45], [0.5, 0.6], [0.4, 0.75], [0.6, 0.75]])
        >>> face = Face((20, 20, 60, 60), 20 + 40 * eyes_nose_mouth, eyes_nose_mouth, score=0.9)
        >>> pipeline = PosteriorMean(estimator=torch.nn.Identity(), size=32)
        >>> done = restore_photograph(pipeline, LoadedImage(torch.rand(3, 80, 120)), None, found=[face], max_face=30)
        >>> done.faces[0].restored, done.faces[0].reason
        (False, 'larger than 30')
    """

    face: Face
    restored: bool
    reason: str = ""
    before: Tensor | None = None
    after: Tensor | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class RestoredPhotograph:
    """`result` at its final size; `background` (3, H, W), the photograph at that size without restored faces;
    `mask` (1, H, W) in [0, 1], 0 where the result is the background; `faces`, the largest first.

    Examples:
        >>> from pmrf_blocks.faces import Face
        >>> from pmrf_blocks.images import LoadedImage
        >>> eyes_nose_mouth = torch.tensor([[0.35, 0.45], [0.65, 0.45], [0.5, 0.6], [0.4, 0.75], [0.6, 0.75]])
        >>> face = Face((20, 20, 60, 60), 20 + 40 * eyes_nose_mouth, eyes_nose_mouth, score=0.9)
        >>> pipeline = PosteriorMean(estimator=torch.nn.Identity(), size=32)
        >>> done = restore_photograph(pipeline, LoadedImage(torch.rand(3, 80, 120)), None, found=[face])
        >>> done.summary()  # this model changes nothing
        '1 left (40 px, clean already)'
    """

    result: LoadedImage
    background: Tensor
    mask: Tensor
    faces: tuple[FaceReport, ...]

    def summary(self) -> str:
        """The faces in a few words: '2 faces restored (91, 84 px), 1 left (410 px, larger than 256)'."""
        restored = [report.face.side for report in self.faces if report.restored]
        parts = []
        if restored:
            sizes = ", ".join(f"{side:.0f}" for side in restored)
            parts.append(f"{len(restored)} face{'s' if len(restored) > 1 else ''} restored ({sizes} px)")
        for reason in dict.fromkeys(report.reason for report in self.faces if not report.restored):
            left = [report.face.side for report in self.faces if report.reason == reason and not report.restored]
            parts.append(f"{len(left)} left ({', '.join(f'{side:.0f}' for side in left)} px, {reason})")
        return ", ".join(parts) or "no face found"


def restore_photograph(
    restorer: FaceRestorer,
    photograph: LoadedImage,
    detector: Detector,
    *,
    faces: str = "all",
    min_face: float = 24,
    max_face: float | None = None,
    min_change: float | Callable[[Face], float] = MIN_CHANGE,
    upscale: int = 1,
    background: Callable[[Tensor, int], Tensor] | None = None,
    weight: float | None = None,
    batch: int = BATCH,
    found: Sequence[Face] | None = None,
    **options: Any,
) -> RestoredPhotograph:
    """Restore the faces of a photograph; everything else stays as it is, bit for bit where `upscale` is 1.

    Each face is brought to the FFHQ frame by its landmarks and restored at the model's working size; what the model
    changed goes back under a feathered mask (faces.paste_face). The mean colour of a face stays that of the
    photograph, and grey or toned photographs keep their tone. The size of a face is the longer side of its box.

    Arguments:
        restorer: a Pipeline, or anything with its `size` and `restore`.
        photograph: pixels (3, H, W) in [0, 1].
        detector: of build_detector().
        faces: 'all', 'largest', or 'center', the one nearest to the middle.
        min_face: smaller faces, in pixels, are not looked for.
        max_face: larger faces are left alone; None is twice the model's working size.
        min_change: a face that the posterior mean changes by less than this share of the detail that the mean has
            (relative_change) is left alone as clean: moving it to the mean could win little, and what the flow then
            adds would cost more. 0 restores all. A function says it of each face.
        upscale: 1, 2 or 4: the photograph is enlarged so many times.
        background: function of (pixels, factor) that enlarges it; None is Lanczos.
        weight: as Pipeline.restore() takes it; None is 0.4, and 1 of a model without a posterior mean.
        batch: faces restored at once.
        found: faces where they are known already: the detector is not asked.
        options: go to restorer.restore(): steps, seed, ...

    Raises:
        ValueError: a choice, an upscale or a limit that there is not.

    Examples:
        >>> from pmrf_blocks.faces import Face
        >>> from pmrf_blocks.images import LoadedImage
        >>> eyes_nose_mouth = torch.tensor([[0.35, 0.45], [0.65, 0.45], [0.5, 0.6], [0.4, 0.75], [0.6, 0.75]])
        >>> face = Face((20, 20, 60, 60), 20 + 40 * eyes_nose_mouth, eyes_nose_mouth, score=0.9)
        >>> class Darker(torch.nn.Module):
        ...     def forward(self, images):
        ...         return images**2
        >>> pipeline, photograph = PosteriorMean(estimator=Darker(), size=32), LoadedImage(torch.rand(3, 80, 120))
        >>> done = restore_photograph(pipeline, photograph, None, found=[face], min_change=0)  # no detector is asked
        >>> done.summary()
        '1 face restored (40 px)'
        >>> torch.equal(done.result.pixels[:, done.mask[0] == 0], photograph.pixels[:, done.mask[0] == 0])
        True
    """
    if faces not in CHOICES:
        raise ValueError(f"faces must be one of {', '.join(map(repr, CHOICES))}; got {faces!r}")
    if upscale not in UPSCALES:
        raise ValueError(f"upscale must be one of {', '.join(map(str, UPSCALES))}; got {upscale}")
    limit = LARGEST * restorer.size if max_face is None else max_face
    if not 1 <= min_face <= limit:
        raise ValueError(f"min_face must be at least 1 and max_face at least min_face; got {min_face:g}, {limit:g}")
    if batch < 1:
        raise ValueError(f"batch must be at least 1; got {batch}")
    if not callable(min_change) and not min_change >= 0:
        raise ValueError(f"min_change must be at least 0; got {min_change}")
    pixels = photograph.pixels
    known = find_faces(pixels, detector, smallest=min_face) if found is None else found
    chosen = choose(known, faces, pixels)
    small = [face for face in chosen if face.side <= limit]
    tone = Tone.of(pixels) if small else None
    crops = [crop_face(pixels, face.to_frame(restorer.size), restorer.size) for face in small]
    weight = photograph_weight(restorer) if weight is None else weight
    restored = restore_faces(restorer, crops, tone, batch=batch, weight=weight, **options)
    canvas = (background or enlarge_lanczos)(pixels, upscale)
    result, mask = canvas, canvas.new_zeros(1, *canvas.shape[-2:])
    done: dict[int, FaceReport] = {}
    for face, crop, (after, change, seconds) in zip(small, crops, restored):
        if change < (min_change(face) if callable(min_change) else min_change):
            done[id(face)] = FaceReport(face, False, CLEAN, crop, seconds=seconds)
            continue
        result, pasted = paste_face(result, after, face.scaled(upscale).to_frame(restorer.size))
        mask = torch.maximum(mask, pasted)
        done[id(face)] = FaceReport(face, True, "", crop, after, seconds)
    reports = [done.get(id(face)) or FaceReport(face, False, f"larger than {limit:g}") for face in chosen]
    alpha = photograph.alpha if photograph.alpha is None else enlarge_lanczos(photograph.alpha, upscale)
    return RestoredPhotograph(replace(photograph, pixels=result, alpha=alpha), canvas, mask, tuple(reports))


def restore_faces(
    restorer: FaceRestorer, crops: Sequence[Tensor], tone: Tone | None, *, batch: int = BATCH, **options: Any
) -> list[tuple[Tensor, float, float]]:
    """(restored crop, relative_change() of the crop, seconds) of each aligned crop (3, S, S) in [0, 1].

    The restored crop has the colour that the crop had.
    """
    results = []
    for start in range(0, len(crops), batch):
        part = list(crops[start : start + batch])
        began = time.perf_counter()
        restored = restorer.restore(torch.stack(part), **options)
        images = restored.image.float().cpu()
        means = images if restored.posterior_mean is None else restored.posterior_mean.float().cpu()
        seconds = (time.perf_counter() - began) / len(part)
        for crop, image, mean in zip(part, images, means):
            mask = feathered_mask(crop.shape[-1])
            kept = keep_mean_colour(image, crop, mask).clamp(0, 1)
            change = relative_change(crop, mean, mask)
            results.append((kept if tone is None else tone.apply(kept), change, seconds))
    return results


def relative_change(crop: Tensor, mean: Tensor, mask: Tensor) -> float:
    """How far a posterior mean is from the crop (3, S, S) that it estimates, as a share of the detail that it has: root
    mean squares under `mask` (1, S, S), the detail's of the mean's discrete Laplacian, at least one of 255 levels.

    By itself a distance says little of how clean a crop is: rough skin and hard light change by more than smooth ones.
    """

    def size(x: Tensor) -> Tensor:
        return (x.square().mean(0) * mask[0]).sum().div(mask.sum()).sqrt()

    return float(size(crop - mean) / size(laplacian(mean)).clamp_min(1 / 255))


def laplacian(image: Tensor) -> Tensor:
    """The sum of each pixel's four differences to its neighbours, (C, H, W); beyond the border is its nearest pixel."""
    near = F.pad(image, (1, 1, 1, 1), mode="replicate")
    neighbours = near[:, :-2, 1:-1] + near[:, 2:, 1:-1] + near[:, 1:-1, :-2] + near[:, 1:-1, 2:]
    return neighbours - 4 * image


def photograph_weight(restorer: FaceRestorer) -> float:
    """The weight that photographs are restored with unless told otherwise: 1 where there is no mean to mix with."""
    return WEIGHT if getattr(restorer, "has_mean", True) else 1.0


def choose(found: Sequence[Face], which: str, image: Tensor) -> list[Face]:
    """All faces, the largest, or the one nearest to the middle of an image (C, H, W)."""
    if which == "all" or not found:
        return list(found)
    if which == "largest":
        return [max(found, key=lambda face: face.side)]
    middle = ((image.shape[-1] - 1) / 2, (image.shape[-2] - 1) / 2)
    return [min(found, key=lambda face: math.dist(face.centre, middle))]
