"""Aligned faces out of photographs: the work of pmrf-blocks prepare faces."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pmrf_blocks.data.preparing import Outcome, decode, write_png
from pmrf_blocks.faces import Detector, build_detector, crop_face, find_faces
from pmrf_blocks.faces.frame import Face, apply, inverse, scale_of
from pmrf_blocks.images import MAX_PIXELS, without_suffix

BEYOND = 0.1  # of the crop's side: FFHQ's crops reach beyond the photograph now and then, and show its reflection


@dataclass(frozen=True)
class CutFaces:
    """Cuts the faces of a photograph below `root` out in the FFHQ frame: PLACE/NAME_0.png, NAME_1.png, the largest
    first, `size` pixels squared.

    Left out are faces that would have to be enlarged, and those whose crop lies beyond the photograph by more than a
    tenth of its side; a photograph without any other is no problem. `max_pixels` and `strict` are those of
    open_image().
    """

    root: Path
    output: Path
    size: int
    detector: str = "auto"
    max_pixels: int = MAX_PIXELS
    strict: bool = False

    def target(self, path: Path) -> Path:
        """Where results lie, before the number of the face is added to the name."""
        return self.output / without_suffix(path.relative_to(self.root).as_posix())

    def __call__(self, path: Path) -> Outcome:
        stem = self.target(path).relative_to(self.output).as_posix()
        there = tuple(sorted(one.relative_to(self.output).as_posix() for one in self._made(stem)))
        if f"{stem}_0.png" in there:  # written last
            return Outcome(there=there)
        notes: list[str] = []
        pixels = np.asarray(decode(path, max_pixels=self.max_pixels, strict=self.strict, tell=notes.append))
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float().div(255)
        faces = [face for face in find_faces(image, detector_called(self.detector)) if self._fits(face, image)]
        names = [f"{stem}_{number}.png" for number in range(len(faces))]
        for name, face in reversed(list(zip(names, faces))):
            crop = crop_face(image, face.to_frame(self.size), self.size)
            eight_bits = crop.mul(255).round().byte().permute(1, 2, 0).contiguous()
            write_png(Image.fromarray(eight_bits.numpy()), self.output / name)
        return Outcome(tuple(names), notes=tuple(notes))

    def _made(self, stem: str) -> list[Path]:
        place = (self.output / stem).parent
        begin = Path(stem).name + "_"
        if not place.is_dir():
            return []
        return [one for one in place.iterdir() if one.name.startswith(begin) and one.stem[len(begin) :].isdecimal()]

    def _fits(self, face: Face, image: torch.Tensor) -> bool:
        matrix = face.to_frame(self.size)
        scale = scale_of(matrix)
        if scale > 1:
            return False
        height, width = image.shape[-2:]
        corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64) * self.size - 0.5
        x, y = apply(inverse(matrix), corners).unbind(-1)
        beyond = max(-x.min(), x.max() - width, -y.min(), y.max() - height) * scale / self.size
        return bool(beyond <= BEYOND)


@functools.cache
def detector_called(name: str) -> Detector:
    """Built once a process."""
    return build_detector(name)
