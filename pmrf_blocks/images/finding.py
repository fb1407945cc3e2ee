"""The pictures of a folder: by content, each once, and an account of what is passed over."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pmrf_blocks.images.loaded import ImageError
from pmrf_blocks.images.names import IMAGE_SUFFIXES, is_hidden, shown
from pmrf_blocks.images.reading import describe_image

NAMED = 3  # links that lead nowhere, by name in the line


@dataclass
class Found:
    """What a walk found.

    Attributes:
        paths: pictures, sorted; also files that are named like pictures and may prove to be none.
        problems: what is named like a picture, or should hold some, and cannot be looked at; with the reason.
        passed: how many of what else was passed over, by reason.
        broken: links that lead nowhere.

    Examples:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (8, 8)).save(f"{folder}/a.png")
        ...     Image.new("RGB", (8, 8)).save(f"{folder}/.b.png")
        ...     found = find_pictures(folder, recursive=True)
        >>> len(found.paths), found.line()
        (1, '1 hidden')
    """

    paths: list[Path] = field(default_factory=list)
    problems: list[tuple[Path, str]] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)
    broken: list[Path] = field(default_factory=list)

    def line(self) -> str:
        """'2 hidden, 1 not an image', or '' where nothing was passed over."""
        parts = [f"{count} {reason}" for reason, count in sorted(self.passed.items())]
        if self.broken:
            names = ", ".join(shown(path.name) for path in self.broken[:NAMED])
            more = ", ..." if len(self.broken) > NAMED else ""
            parts.append(f"{len(self.broken)} a link to nothing ({names}{more})")
        return ", ".join(parts)


def find_pictures(folder: str | Path, *, recursive: bool, leave_out: Path | None = None) -> Found:
    """The pictures of a folder, and with `recursive` of those below it. ImageError where the folder cannot be listed.

    A folder that is reached by several links is taken once, under its own name where it has one here. `leave_out` is
    a folder below that is not entered, such as that of the results.

    Examples:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (8, 8)).save(f"{folder}/scan", "PNG")  # known by its content
        ...     found = find_pictures(folder, recursive=False)
        >>> [path.name for path in found.paths]
        ['scan']
    """
    found = Found()
    seen: set[tuple[int, int]] = set()
    own: list[Path] = [Path(folder)]
    linked: list[Path] = []
    if leave_out is not None and leave_out.is_dir():
        seen.add(_identity(leave_out))
    while own or linked:
        place = own.pop() if own else linked.pop(0)
        try:
            identity = _identity(place)
            if identity in seen:
                found.passed["folder that was taken already"] += 1
                continue
            seen.add(identity)
            with os.scandir(place) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if place == Path(folder):
                raise ImageError(f"cannot list the folder {shown(place)}: {error.strerror}") from None
            found.problems.append((place, f"cannot list the folder: {error.strerror}"))
            continue
        for entry in entries:
            if is_hidden(entry.name):
                found.passed["hidden"] += 1
            elif _is_folder(entry):
                path = place / entry.name
                if recursive:
                    (linked if entry.is_symlink() else own).append(path)
                elif path.suffix.lower() in IMAGE_SUFFIXES:
                    found.problems.append((path, "is a directory"))
                else:
                    found.passed["folder (--recursive takes what is in it)"] += 1
            else:
                _sort_in(place / entry.name, found)
    found.paths.sort()
    return found


def _sort_in(path: Path, found: Found) -> None:
    named = path.suffix.lower() in IMAGE_SUFFIXES
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if named:
            found.problems.append((path, "a link to a file that is not there" if path.is_symlink() else str(error)))
        else:
            found.broken.append(path)
        return
    if named:
        found.paths.append(path)
    elif not stat.S_ISREG(mode):
        found.passed["no regular file"] += 1
    else:
        try:
            describe_image(path, certain=True, max_pixels=1 << 62)
        except ImageError as error:
            reason = str(error)
            found.passed["not an image" if reason.startswith(("not an image", "the file is empty")) else reason] += 1
        else:
            found.paths.append(path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(folder: Path) -> tuple[int, int]:
    state = os.stat(folder)
    return state.st_dev, state.st_ino
