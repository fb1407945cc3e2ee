"""What the page does with photographs: restored one by one, each with a sentence about it."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import Tensor

from pmrf_blocks.faces import Detector
from pmrf_blocks.images import ImageError, open_image, output_name, write_image
from pmrf_blocks.restoration import FaceReport, NonFiniteError, Pipeline, restore_photograph
from pmrf_blocks.restoration.photographs import WEIGHT

MAX_PIXELS = 50_000_000  # of an upload: two people share the machine's memory
MODELS = ("bundled", "bundled-pixel")


@dataclass(frozen=True)
class Settings:
    """What a visitor chose: the arguments of restore_photograph() of these names, and the model's name."""

    weight: float = WEIGHT
    faces: str = "all"
    upscale: int = 1
    seed: int = 0
    model: str = MODELS[0]


@dataclass(frozen=True)
class Shown:
    """One restored photograph as the page shows it: uint8 arrays (H, W, 3), and the faces found in `after`'s pixels."""

    name: str
    before: np.ndarray
    after: np.ndarray
    faces: list[tuple[tuple[int, int, int, int], str]]


@dataclass(frozen=True)
class Outcome:
    """`shown` photographs, a `message` in sentences, and the `download`: one file, a zip of several, or None."""

    shown: list[Shown]
    message: str
    download: Path | None


class Studio:
    """Restores what was uploaded. A visitor's results lie in a folder of their own until the process ends.

    Arguments:
        load: gives the pipeline of a model's name; called once a name.
        detector: of build_detector().
    """

    def __init__(self, load: Callable[[str], Pipeline], detector: Detector, *, max_pixels: int = MAX_PIXELS) -> None:
        self._load, self._detector, self._max_pixels = lru_cache(load), detector, max_pixels
        self._folder = tempfile.TemporaryDirectory(prefix="pmrf-blocks-web-")

    def restore(
        self,
        paths: Sequence[str | Path],
        settings: Settings,
        progress: Callable[[float, str], object] = lambda share, text: None,
    ) -> Outcome:
        """Restore uploads; what cannot be read, or has no face, gets a sentence in the message."""
        if not paths:
            return Outcome([], "Drop a photograph first.", None)
        folder = Path(tempfile.mkdtemp(dir=self._folder.name))
        shown, sentences, written = [], [], []
        for number, path in enumerate(map(Path, paths)):
            progress(number / len(paths), f"restoring {path.name}")
            try:
                one, sentence, target = self._one(path, folder / str(number), settings)
            except (ImageError, NonFiniteError, MemoryError) as error:
                sentences.append(f"{path.name}: {str(error) or 'does not fit the memory'}.")
            else:
                shown.append(one)
                written.append(target)
                sentences.append(sentence)
        return Outcome(shown, "\n\n".join(sentences), _download(folder, written))

    def _one(self, path: Path, folder: Path, settings: Settings) -> tuple[Shown, str, Path]:
        photograph = open_image(path, max_pixels=self._max_pixels)
        restored = restore_photograph(
            self._load(settings.model),
            photograph,
            self._detector,
            faces=settings.faces,
            upscale=settings.upscale,
            weight=settings.weight,
            seed=settings.seed,
        )
        target = folder / output_name(path.name, transparent=photograph.alpha is not None)
        write_image(restored.result, target)
        boxes = [(_pixels(report, settings.upscale), _label(report)) for report in restored.faces]
        one = Shown(path.name, _bytes(restored.background), _bytes(restored.result.pixels), boxes)
        return one, f"{path.name}: {restored.summary()}.", target


def _pixels(report: FaceReport, upscale: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = (max(0, round(value)) for value in report.face.scaled(upscale).box)
    return left, top, right, bottom


def _label(report: FaceReport) -> str:
    return f"{report.face.side:.0f} px, {'restored' if report.restored else report.reason}"


def _bytes(image: Tensor) -> np.ndarray:
    return (image.clamp(0, 1) * 255.0).round().byte().permute(1, 2, 0).contiguous().numpy()


def _download(folder: Path, written: Sequence[Path]) -> Path | None:
    if len(written) < 2:
        return written[0] if written else None
    archive = folder / "restored.zip"
    with zipfile.ZipFile(archive, "w") as file:  # photographs are compressed already
        for path in written:
            file.write(path, f"{path.parent.name}_{path.name}")
    return archive
