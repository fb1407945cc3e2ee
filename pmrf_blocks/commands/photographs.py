"""pmrf-blocks restore: whole photographs, with what is written beside them."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from pmrf_blocks import __version__
from pmrf_blocks.commands.files import Job, for_each
from pmrf_blocks.commands.gallery import Gallery
from pmrf_blocks.commands.targets import ArgumentError, Plan
from pmrf_blocks.faces import Detector
from pmrf_blocks.images import (
    MAX_PIXELS,
    WRITABLE,
    ImageError,
    LoadedImage,
    describe_image,
    save_picture,
    shown,
    write_image,
    write_whole,
)
from pmrf_blocks.restoration import FaceReport, Pipeline, RestoredPhotograph, comparison, restore_photograph

WIDEST = 1024  # pixels of a tile in a comparison


@dataclass(frozen=True)
class Album:
    """Photographs, and what finds, restores and enlarges."""

    files: Plan
    restorer: Pipeline
    detector: Detector
    background: Callable[[Tensor, int], Tensor] | None


@dataclass(frozen=True)
class Done:
    """A restored photograph and how long it took, reading and writing aside."""

    restored: RestoredPhotograph
    seconds: float


def restore_album(album: Album, arguments: argparse.Namespace, options: dict[str, Any]) -> int:
    """Restore the faces of each photograph, one line each; the exit status."""
    files, count = album.files, len(album.files.items)
    folder = None if _is_one_file(arguments.output, files) else arguments.output
    gallery = None if folder is None else Gallery(folder)
    pictures: list[dict[str, Any]] = []
    with tqdm(total=count, desc="restore", unit="picture", file=sys.stderr) as bar:

        def make(jobs: list[Job]) -> list[Done]:
            began = time.perf_counter()
            (job,) = jobs
            restored = restore_photograph(
                album.restorer,
                job.photograph,
                album.detector,
                faces=arguments.faces,
                min_face=arguments.min_face,
                max_face=arguments.max_face,
                min_change=arguments.min_change,
                upscale=arguments.upscale,
                background=album.background,
                **({"batch": arguments.batch} if arguments.batch else {}),
                **options,
            )
            return [Done(restored, time.perf_counter() - began)]

        def write(job: Job, done: Done) -> None:
            restored = done.restored
            if arguments.compare:
                tiles = [("before", restored.background), ("after", restored.result.pixels)]
                width = max(64, min(WIDEST, restored.background.shape[-1]))
                save_picture(comparison([tiles], tile=width), job.targets[1])
            if arguments.save_faces:
                _write_faces(restored, job, arguments.overwrite)
            _write_result(restored, job)
            pictures.append(_described(job, done))
            if gallery is not None:
                gallery.add(job.path, job.target, restored.background, restored.result.pixels, restored.summary())

        try:
            skipped = for_each(
                files,
                bar,
                1,
                make,
                write,
                max_pixels=arguments.max_pixels or MAX_PIXELS,
                strict=arguments.strict,
                line=lambda number, job, done: (
                    f"[{number}/{count}] {shown(job.path.name)}: {done.restored.summary()}, {done.seconds:.1f} s"
                ),
                failed=lambda path, reason: pictures.append({"input": shown(path), "skipped": reason}),
            )
        finally:  # an interruption too leaves a page and a report of what was done
            try:
                if gallery is not None and gallery.write():
                    bar.write(f"before and after: {shown(gallery.page)}", file=sys.stderr)
                if arguments.report is not None:
                    _write_report(arguments, album, pictures, options["weight"])
            except (ImageError, OSError) as error:
                raise ArgumentError(f"the photographs are written, but not all beside them: {error}") from None
    return 1 if skipped else 0


def _is_one_file(output: Path, files: Plan) -> bool:
    return any(item.targets and item.targets[0] == output for item in files.items)


def _write_result(restored: RestoredPhotograph, job: Job) -> None:
    """A photograph of which nothing changed keeps its file, byte for byte: coded anew, a JPEG would lose a little."""
    photograph = job.photograph
    same = restored.background is photograph.pixels and not any(report.restored for report in restored.faces)
    whole = photograph.frames == 1 and not photograph.damage
    if same and whole and describe_image(job.path).format == WRITABLE[job.target.suffix.lower()]:
        try:
            write_whole(job.target, lambda temporary: shutil.copyfile(job.path, temporary))
        except OSError as error:
            raise ImageError(f"cannot write {shown(job.target)}: {error.strerror or error}") from None
    else:
        write_image(restored.result, job.target)


def _write_faces(restored: RestoredPhotograph, job: Job, overwrite: bool) -> None:
    """Aligned crops before and after as OUT/faces/NAME.EXT/NUMBER_before.png and NUMBER_after.png."""
    folder = job.target.parent / "faces" / job.target.name
    for number, report in enumerate(restored.faces, 1):
        for name, crop in (("before", report.before), ("after", report.after)):
            if crop is None:
                continue
            target = folder / f"{number}_{name}.png"
            if target.exists() and not overwrite:
                raise ImageError(f"{shown(target)} exists (--overwrite replaces it)")
            write_image(LoadedImage(crop), target)


def _described(job: Job, done: Done) -> dict[str, Any]:
    height, width = job.photograph.pixels.shape[-2:]
    return {
        "input": shown(job.path),
        "output": shown(job.target),
        "width": width,
        "height": height,
        "seconds": round(done.seconds, 3),
        "faces": [_face(report) for report in done.restored.faces],
    }


def _face(report: FaceReport) -> dict[str, Any]:
    return {
        "box": [round(value, 2) for value in report.face.box],
        "landmarks": [[round(value, 2) for value in point] for point in report.face.landmarks.tolist()],
        "score": round(report.face.score, 4),
        "size": round(report.face.side, 1),
        "action": "restored" if report.restored else "left",
        "reason": report.reason or "large enough, no larger than what the model improves, and not clean",
        "seconds": round(report.seconds, 3),
    }


def _write_report(arguments: argparse.Namespace, album: Album, pictures: list[dict[str, Any]], weight: float) -> None:
    content = {
        "pmrf_blocks": __version__,
        "model": str(arguments.model),
        "working_size": album.restorer.size,
        "weight": weight,
        "seed": arguments.seed,
        "upscale": arguments.upscale,
        "pictures": pictures,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_whole(arguments.report, lambda temporary: temporary.write_text(text, encoding="utf-8"))
