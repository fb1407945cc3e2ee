"""pmrf-blocks prepare"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pmrf_blocks.commands.face_crops import CutFaces, detector_called
from pmrf_blocks.commands.targets import ArgumentError, cannot_hold_files
from pmrf_blocks.data.errors import DataError
from pmrf_blocks.data.folders import find_images
from pmrf_blocks.data.preparing import Cut, Outcome, Shrink, Tally, Work, prepare
from pmrf_blocks.data.published_sets import PUBLISHED_SETS
from pmrf_blocks.data.scores import QAlign, read_scores
from pmrf_blocks.faces import DetectorUnavailable
from pmrf_blocks.images import MAX_PIXELS, shown, without_suffix, write_whole
from pmrf_blocks.json_files import read_json_object

RECORD, PROBLEMS, SCORES = "prepare.json", "problems.txt", "scores.csv"
Each = Callable[[Outcome], None]


def run(arguments: argparse.Namespace) -> int:
    try:
        problems = PREPARE.get(arguments.set, prepare_images)(arguments)
    except (ArgumentError, DataError, DetectorUnavailable, ImportError) as error:
        print(f"pmrf-blocks prepare: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"pmrf-blocks prepare: {error}; the same command goes on from here", file=sys.stderr)
        return 1
    return 1 if problems else 0


def prepare_images(arguments: argparse.Namespace) -> int:
    """Sets of single images, at `size` or as they are; how many files had problems."""
    known = PUBLISHED_SETS[arguments.set]
    size = known.side if arguments.size is None else arguments.size
    paths = find(arguments.source, arguments)
    begin(arguments.output, {"set": known.name, "size": size})
    work = Shrink(arguments.source, arguments.output, size, square=known.name == "ffhq", **limits(arguments))
    refuse_collisions(paths, work)
    tally = go_through(paths, work, arguments)
    if known.name == "ffhq":
        names = [work.target(path) for path in paths]
        first = [name for name in names[: arguments.first] if name.exists()]
        write_list(arguments.output / f"first-{arguments.first}.txt", arguments.output, first)
    return report(arguments, len(paths), tally)


def prepare_pairs(arguments: argparse.Namespace) -> int:
    """CelebA-Test: sharp faces into hq/, the degraded ones of the same names into lq/."""
    if arguments.lq is None:
        raise ArgumentError("celeba-test needs --lq FOLDER, the degraded faces")
    size = PUBLISHED_SETS["celeba-test"].side if arguments.size is None else arguments.size
    folders = {"hq": arguments.source, "lq": arguments.lq}
    found = {side: find(folder, arguments) for side, folder in folders.items()}
    names = {side: {without_suffix(path.name): path for path in paths} for side, paths in found.items()}
    tally = Tally()
    for one, other in (("hq", "lq"), ("lq", "hq")):
        alone = sorted(set(names[one]) - set(names[other]))
        tally.problems += [(names[one][stem], f"has no counterpart in {folders[other]}") for stem in alone]
    begin(arguments.output, {"set": "celeba-test", "size": size})
    pairs = sorted(set(names["hq"]) & set(names["lq"]))
    if not pairs:
        raise DataError(f"0 pairs: no image of {folders['hq']} has the name of one of {folders['lq']}")
    for side, folder in folders.items():
        work = Shrink(folder, arguments.output / side, size if side == "hq" else None, square=True, **limits(arguments))
        paths = [names[side][stem] for stem in pairs]
        refuse_collisions(paths, work)
        done = go_through(paths, work, arguments, label=f"{arguments.set} {side}")
        tally.written, tally.there = tally.written + done.written, tally.there + done.there
        tally.problems += done.problems
    return report(arguments, len(pairs), tally)


def prepare_patches(arguments: argparse.Namespace) -> int:
    """LSDIR: patches with at least `min_score`, scored by a file or by Q-Align; what is rejected is not kept."""
    size = PUBLISHED_SETS["lsdir"].side if arguments.size is None else arguments.size
    least = arguments.min_score if arguments.min_score > 0 else None
    paths = find(arguments.source, arguments)
    given = None if arguments.scores is None or least is None else read_scores(arguments.scores)
    judge = None if given is not None or least is None else QAlign(arguments.device)
    begin(arguments.output, {"set": "lsdir", "size": size, "stride": arguments.stride, "min_score": least})
    own = arguments.output / SCORES
    drop_torn_line(own)
    scores = dict(given) if given is not None else read_scores(own) if own.exists() else {}
    unscored: list[str] = []
    rejected = [0]

    def judged(outcome: Outcome) -> None:
        for name in (*outcome.written, *outcome.there):
            if name in scores:
                continue
            if judge is None:
                unscored.append(name)
                (arguments.output / name).unlink()
                continue
            score = judge(arguments.output / name)
            with open(own, "a", newline="", encoding="utf-8", errors="surrogateescape") as file:
                csv.writer(file).writerow([name, score])
            if least is not None and score < least:
                rejected[0] += 1
                (arguments.output / name).unlink()

    work = Cut(arguments.source, arguments.output, size or 512, arguments.stride, scores, least, **limits(arguments))
    refuse_collisions(paths, work)
    tally = go_through(paths, work, arguments, each=None if least is None else judged)
    tally.written -= rejected[0] + len(unscored)
    tally.problems += [(arguments.output / name, f"has no score in {arguments.scores}") for name in unscored]
    return report(arguments, len(paths), tally)


def prepare_faces(arguments: argparse.Namespace) -> int:
    """Any photographs: their faces, aligned, as far as none has to be enlarged."""
    size = PUBLISHED_SETS["faces"].side if arguments.size is None else arguments.size
    paths = find(arguments.source, arguments)
    detector_called(arguments.detector)  # fails here, once, where it cannot be had
    begin(arguments.output, {"set": "faces", "size": size, "detector": arguments.detector})
    work = CutFaces(arguments.source, arguments.output, size or 512, arguments.detector, **limits(arguments))
    refuse_collisions(paths, work)
    return report(arguments, len(paths), go_through(paths, work, arguments))


PREPARE = {"celeba-test": prepare_pairs, "lsdir": prepare_patches, "faces": prepare_faces}


def drop_torn_line(path: Path) -> None:
    """Forget a last line that a killed process did not finish."""
    if path.exists() and (text := path.read_bytes()) and not text.endswith(b"\n"):
        whole = text[: text.rfind(b"\n") + 1]
        write_whole(path, lambda temporary: temporary.write_bytes(whole))


def expected(arguments: argparse.Namespace) -> tuple[int | None, bool]:
    """(how many files there should be, whether another number is an error rather than a warning)."""
    if arguments.expect is None:
        return PUBLISHED_SETS[arguments.set].images, False
    if arguments.expect != "published":
        return int(arguments.expect), True
    if PUBLISHED_SETS[arguments.set].images is None:
        raise ArgumentError(f"--expect needs a number: no count is published for {arguments.set!r}")
    return PUBLISHED_SETS[arguments.set].images, True


def limits(arguments: argparse.Namespace) -> dict[str, Any]:
    """How image files are read."""
    return {"max_pixels": arguments.max_pixels or MAX_PIXELS, "strict": arguments.strict}


def find(source: Path, arguments: argparse.Namespace) -> list[Path]:
    """Images of `source`, counted."""
    output = arguments.output
    there, here = Path(os.path.realpath(output)), Path(os.path.realpath(source))
    if there == here or here in there.parents:
        raise ArgumentError(f"--output {output} is in {source}: results would be taken for sources")
    if reason := cannot_hold_files(output):
        raise ArgumentError(f"--output {shown(output)}: {reason}")
    paths, (count, strict) = find_images(source, recursive=arguments.recursive), expected(arguments)
    if count is not None and len(paths) != count:
        message = f"{len(paths)} images in {source}, where {count} are expected"
        if strict:
            raise DataError(message)
        print(f"warning: {message}", file=sys.stderr)
    return paths


def begin(output: Path, record: dict[str, Any]) -> None:
    """Note what the folder holds; DataError where it holds something else."""
    for abandoned in output.rglob(".*.tmp"):  # of a process that was killed while it wrote
        abandoned.unlink(missing_ok=True)
    path = output / RECORD
    if path.exists():
        there = read_json_object(path, DataError)
        if there != record:
            raise DataError(f"{output} was prepared as {there}, and is asked for as {record}; take another folder")
        return
    write_whole(path, lambda temporary: temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8"))


def refuse_collisions(paths: Sequence[Path], work: Shrink | Cut | CutFaces) -> None:
    seen: dict[Path, Path] = {}
    for path in paths:
        other = seen.setdefault(work.target(path), path)
        if other is not path:
            raise DataError(f"{shown(other)} and {shown(path)} would both become {shown(work.target(path))}")


def go_through(
    paths: Sequence[Path], work: Work, arguments: argparse.Namespace, *, label: str = "", each: Each | None = None
) -> Tally:
    tally = Tally()
    with tqdm(total=len(paths), desc=label or arguments.set, unit="image", file=sys.stderr) as bar:
        for path, outcome in prepare(paths, work, workers=arguments.workers):
            tally.add(path, outcome)
            for note in outcome.notes:
                bar.write(f"{shown(path)}: {note}", file=sys.stderr)
            if each is not None:
                each(outcome)
            bar.update()
    return tally


def write_list(path: Path, root: Path, images: Sequence[Path]) -> None:
    """Names relative to the list's folder, one a line, as find_images() reads them: their bytes as they are."""
    names = [image.relative_to(root).as_posix() for image in images]
    for name in (name for name in names if "\n" in name):
        print(f"{shown(name)}: left out of {shown(path)}, where a name is a line", file=sys.stderr)
    text = "".join(f"{name}\n" for name in names if "\n" not in name)
    content = text.encode("utf-8", "surrogateescape")
    write_whole(path, lambda temporary: temporary.write_bytes(content))


def report(arguments: argparse.Namespace, count: int, tally: Tally) -> int:
    """Problems into problems.txt, the counts on stdout; how many problems there are."""
    listed = arguments.output / PROBLEMS
    text = "".join(f"{shown(path)}\t{reason}\n" for path, reason in tally.problems)
    if text:
        write_whole(listed, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    else:
        listed.unlink(missing_ok=True)
    for path, reason in tally.problems[:5]:
        print(f"{shown(path)}: {reason}", file=sys.stderr)
    more = f" (listed in {listed})" if tally.problems else ""
    print(
        f"{arguments.set}: {count} found; {tally.written} written, {tally.there} there already, "
        f"{len(tally.problems)} with problems{more}"
    )
    return len(tally.problems)
