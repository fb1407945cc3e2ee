"""Which files a command reads and writes. All of it is known before the first byte is written."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pmrf_blocks.images import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    WRITABLE,
    ImageError,
    describe_image,
    find_pictures,
    output_name,
    shown,
)

DRAWINGS = frozenset({".pdf", ".eps", ".ps", ".svg", ".dng", ".cr2", ".nef", ".arw", ".raw", ".exr", ".hdr"})


class ArgumentError(ValueError):
    """Arguments that make no sense together: exit status 2."""


def written(command: str, path: Path, write: Callable[[], object]) -> bool:
    """Whether a result could be written by `write`; where not, one line on stderr says why."""
    try:
        write()
    except OSError as error:
        reason = error.strerror or error
        print(f"pmrf-blocks {command}: cannot write {shown(path)}: {reason}; see stdout", file=sys.stderr)
        return False
    return True


@dataclass(frozen=True)
class Item:
    """A picture to read and where its results go: `targets`, of which the first is the picture's own; or the reason
    why it is left out."""

    path: Path
    targets: tuple[Path, ...] = ()
    refused: str = ""


@dataclass(frozen=True)
class Plan:
    """Pictures in order, and lines about what folders hold besides."""

    items: list[Item]
    lines: list[str] = field(default_factory=list)


def no_others(target: Path) -> tuple[Path, ...]:
    """For commands that write one file a picture."""
    return ()


def plan(
    inputs: Sequence[Path],
    output: Path,
    *,
    overwrite: bool,
    recursive: bool = False,
    max_pixels: int = MAX_PIXELS,
    others: Callable[[Path], tuple[Path, ...]] = no_others,
) -> Plan:
    """Who is read and what is written. `others(target)` names further files that are written beside a target.

    An input is never a target, and no two pictures share one: the later of two is refused. Files of folders keep
    their place below the folder. Raises ArgumentError where an input is missing, there is nothing to do, or nothing
    can be written to `output`.
    """
    found: list[tuple[Path, Path, str]] = []  # picture, place below the output, why it is refused already
    lines: list[str] = []
    for path in inputs:
        if path.is_dir():
            found += _of_folder(path, output, recursive, lines)
        elif not path.exists():
            raise ArgumentError(f"no such file or folder: {shown(path)}")
        else:
            found.append((path, Path(), ""))
    found = list({_key(path): one for one in reversed(found) for path in one[:1]}.values())[::-1]
    single = _is_one_file(output, len(found))
    if reason := cannot_hold_files(output.parent if single else output):
        raise ArgumentError(f"--output {shown(output)}: {reason}")
    protected = {_key(path): path for path, _, _ in found}
    taken: dict[str, Path] = {}
    items = []
    for path, place, refused in found:
        try:
            if refused:
                raise ImageError(refused)
            head = describe_image(path, max_pixels=max_pixels)
            target = output if single else output / place / output_name(path.name, transparent=head.transparent)
            if single and output_name(output.name, transparent=head.transparent) != output.name:
                raise ImageError(f"{output.suffix} cannot hold its transparency; name the output .png")
            targets = (target, *others(target))
            for one in targets:
                _check(one, path, protected, taken, overwrite)
        except (ImageError, OSError) as error:
            items.append(Item(path, refused=str(error)))
        else:
            taken |= {_key(one): path for one in targets}
            items.append(Item(path, targets))
    return Plan(items, lines)


def cannot_hold_files(folder: Path) -> str:
    """Why nothing can be written into a folder, which may have to be made first; '' where nothing speaks against it."""
    place = Path(os.path.abspath(folder))
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return f"{shown(place)} is a link that leads nowhere" if place.is_symlink() else f"{shown(place)} is a file"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"no permission to write to {shown(place)}"
    return ""


def keep_out(files: Plan, *folders: Path) -> None:
    """ArgumentError where an input lies in one of the folders, which a command fills with pictures of its own."""
    own = {_key(folder) for folder in folders}
    for item in files.items:
        if own & {_key(parent) for parent in item.path.parents}:
            reason = "lies where the command writes pictures of its own; choose another --output"
            raise ArgumentError(f"{shown(item.path)} {reason}")


def check_outputs(
    paths: list[Path], suffixes: tuple[str, ...], *, overwrite: bool, option: str = "--output"
) -> list[Path]:
    """The files to write, which `option` names; ArgumentError for one that is of no known kind, must not be replaced,
    or lies where nothing can be written."""
    for path in paths:
        if path.suffix.lower() not in suffixes:
            raise ArgumentError(f"{option} {shown(path)}: the suffix must be one of {', '.join(suffixes)}")
        if path.is_dir():
            raise ArgumentError(f"{option} {shown(path)} is a directory")
        if reason := cannot_hold_files(path.parent):
            raise ArgumentError(f"{option} {shown(path)}: {reason}")
        if path.exists() and not overwrite:
            raise ArgumentError(f"{shown(path)} exists (--overwrite replaces it)")
    return paths


def _of_folder(folder: Path, output: Path, recursive: bool, lines: list[str]) -> list[tuple[Path, Path, str]]:
    try:
        listing = find_pictures(folder, recursive=recursive, leave_out=None if _same(folder, output) else output)
    except ImageError as error:
        raise ArgumentError(str(error)) from None
    if listing.line():
        lines.append(f"passed over in {shown(folder)}: {listing.line()}")
    if not listing.paths and not listing.problems:
        raise ArgumentError(f"no images in {shown(folder)}" + (f": {listing.line()}" if listing.line() else ""))
    found = [(path, path.parent.relative_to(folder), "") for path in listing.paths]
    found += [(path, path.parent.relative_to(folder), reason) for path, reason in listing.problems]
    return sorted(found, key=lambda one: one[0])


def _is_one_file(output: Path, count: int) -> bool:
    """Whether --output names a file rather than a folder; ArgumentError where that file could not be written."""
    suffix = output.suffix.lower()
    if output.is_dir() or suffix not in IMAGE_SUFFIXES | DRAWINGS:
        return False
    if suffix not in WRITABLE:
        raise ArgumentError(
            f"--output {shown(output)}: cannot write {output.suffix}; name a file that ends in "
            f"{', '.join(WRITABLE)}, or a folder"
        )
    if count != 1:
        raise ArgumentError(
            f"--output {shown(output)} names one file, but there are {count} photographs; name a folder"
        )
    return True


def _check(target: Path, path: Path, protected: dict[str, Path], taken: dict[str, Path], overwrite: bool) -> None:
    """ImageError where a target may not be written for `path`."""
    key = _key(target)
    if key in protected:
        whose = "the input" if protected[key] == path else f"the input {shown(protected[key])}"
        raise ImageError(f"the result would replace {whose}; choose another --output")
    if key in taken:
        raise ImageError(f"its result would have the name of that of {shown(taken[key])}: {shown(target.name)}")
    if target.is_dir():
        raise ImageError(f"{shown(target)} is a directory")
    if os.path.lexists(target) and not overwrite:
        raise ImageError(f"{shown(target)} exists (--overwrite replaces it)")


def _key(path: Path) -> str:
    """What two paths to one file have in common."""
    return os.path.normcase(os.path.realpath(path))


def _same(one: Path, other: Path) -> bool:
    return _key(one) == _key(other)
