"""pmrf-blocks restore: videos among what is to be restored."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pmrf_blocks.commands.files import FAILURES, in_one_line
from pmrf_blocks.commands.photographs import Album
from pmrf_blocks.commands.targets import ArgumentError, cannot_hold_files
from pmrf_blocks.images import shown
from pmrf_blocks.restoration import VIDEO_SUFFIXES, WRITABLE_VIDEOS, restore_video


def split_videos(inputs: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """(videos, all else) of what was given; a video is told by its name, and named itself, not by its folder."""
    videos = [path for path in inputs if path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()]
    return videos, [path for path in inputs if path not in videos]


def plan_videos(videos: Sequence[Path], arguments: argparse.Namespace, *, alone: bool) -> list[tuple[Path, Path]]:
    """(video, where its result goes); `alone`: there are no pictures beside. ArgumentError before anything is made."""
    for name in ("aligned", "compare", "save_faces", "report"):
        if getattr(arguments, name):
            raise ArgumentError(f"--{name.replace('_', '-')} is for pictures, not for {shown(videos[0].name)}")
    output: Path = arguments.output
    one = output.suffix.lower() in VIDEO_SUFFIXES and not output.is_dir()
    if one and (len(videos) > 1 or not alone):
        raise ArgumentError(f"--output {shown(output)} names one video, but there is more to restore; name a folder")
    if one and output.suffix.lower() not in WRITABLE_VIDEOS:
        known = ", ".join(WRITABLE_VIDEOS)
        raise ArgumentError(f"--output {shown(output)}: cannot write {output.suffix}; name a file that ends in {known}")
    if reason := cannot_hold_files(output.parent if one else output):
        raise ArgumentError(f"--output {shown(output)}: {reason}")
    pairs, taken = [], {os.path.realpath(path) for path in videos}
    for path in videos:
        if not path.exists():
            raise ArgumentError(f"no such file or folder: {shown(path)}")
        suffix = path.suffix if path.suffix.lower() in WRITABLE_VIDEOS else ".mp4"
        target = output if one else output / f"{path.stem}{suffix}"
        if os.path.realpath(target) in taken:
            raise ArgumentError(f"the result of {shown(path)} would replace another video: {shown(target)}")
        if target.exists() and not arguments.overwrite:
            raise ArgumentError(f"{shown(target)} exists (--overwrite replaces it)")
        taken.add(os.path.realpath(target))
        pairs.append((path, target))
    return pairs


def restore_videos(
    pairs: Sequence[tuple[Path, Path]], album: Album, arguments: argparse.Namespace, options: dict[str, Any]
) -> int:
    """Restore each, one line each; exit status 1 where one was skipped."""
    skipped = 0
    for number, (path, target) in enumerate(pairs, 1):
        began = time.perf_counter()
        with tqdm(desc=shown(path.name), unit="frame", file=sys.stderr) as bar:

            def progress(done: int, count: int | None, bar: tqdm = bar) -> None:
                bar.total = count
                bar.update(done - bar.n)

            try:
                report = restore_video(
                    album.restorer, path, target, album.detector,
                    faces=arguments.faces, min_face=arguments.min_face, max_face=arguments.max_face,
                    min_change=arguments.min_change, upscale=arguments.upscale, background=album.background,
                    progress=progress, **({"batch": arguments.batch} if arguments.batch else {}), **options,
                )  # fmt: skip
            except FAILURES as error:
                skipped += 1
                bar.write(f"skipped {shown(path)}: {in_one_line(error)}", file=sys.stderr)
                continue
            for note in report.notes:
                bar.write(f"{shown(path)}: {note}", file=sys.stderr)
            seconds = time.perf_counter() - began
            line = f"[{number}/{len(pairs)}] {shown(path.name)}: {report.summary()}, {seconds:.1f} s"
            bar.write(line, file=sys.stdout)
    return 1 if skipped else 0
