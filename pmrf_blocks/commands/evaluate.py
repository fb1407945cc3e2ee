"""pmrf-blocks evaluate"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

import pmrf_blocks
from pmrf_blocks.commands.devices import choose_device
from pmrf_blocks.commands.files import free_memory, in_one_line, is_lack_of_memory
from pmrf_blocks.commands.targets import cannot_hold_files
from pmrf_blocks.images import IMAGE_SUFFIXES, MAX_PIXELS, shown, write_whole
from pmrf_blocks.metrics.evaluation import Evaluator
from pmrf_blocks.metrics.image_sets import Reading, find_set
from pmrf_blocks.metrics.protocols import Protocol, find_protocol
from pmrf_blocks.metrics.registry import METRICS, check_metrics
from pmrf_blocks.metrics.report import per_image, render
from pmrf_blocks.metrics.scores import Evaluation
from pmrf_blocks.metrics.statistics import Statistics

INPUT = "input"  # the row of --degraded


def run(arguments: argparse.Namespace) -> int:
    """0: everything asked for was measured; 1: something was not available; 2: arguments or images do not fit."""
    try:
        _check_outputs(arguments)
        protocol = find_protocol(arguments.protocol)
        metrics = _metrics(arguments, protocol)
        evaluator = Evaluator(
            protocol,
            metrics=metrics,
            reference=arguments.reference,
            posterior_mean=arguments.posterior_mean,
            statistics=[Statistics.load(path) for path in arguments.statistics],
            weights=dict(arguments.weights),
            device=choose_device(arguments.device),
            batch_size=arguments.batch_size,
            workers=arguments.workers,
            resamples=arguments.bootstrap,
            seed=arguments.seed,
            reading=Reading(arguments.recursive, arguments.max_pixels or MAX_PIXELS, arguments.strict),
        )
        if arguments.save_statistics is not None and not evaluator.extractors:
            raise ValueError("--save-statistics: no distance of distributions is measured, so there are none")
        if arguments.statistics_name is not None and arguments.save_statistics is None:
            raise ValueError("--statistics-name is for --save-statistics")
        rows = _rows(arguments)
        evaluator.check(*rows.values())
        evaluations = _measure(evaluator, rows)
    except (ValueError, OSError, MemoryError) as error:
        print(f"pmrf-blocks evaluate: {in_one_line(error)}", file=sys.stderr)
        return 2
    settings = {
        "resamples": arguments.bootstrap,
        "seed": arguments.seed,
        "versions": {"pmrf_blocks": pmrf_blocks.__version__, "torch": torch.__version__},
        "references": {name: str(_named(own, arguments)) for name, own in evaluator.reference_statistics.items()},
    }
    text = render(evaluations, arguments.format, settings)
    whole = _write(arguments.output, text)
    if arguments.per_image is not None:
        whole &= _write(arguments.per_image, per_image(evaluations, arguments.per_image.suffix[1:]))
    if arguments.save_statistics is not None:
        whole &= _save_statistics(evaluator, arguments)
    lacking = any(score.value is None for evaluation in evaluations for score in evaluation.scores.values())
    return 0 if whole and not lacking else 1


def _metrics(arguments: argparse.Namespace, protocol: Protocol) -> tuple[str, ...]:
    """Those named; else the protocol's, less those whose folder was not given, which is said on stderr."""
    if arguments.metrics:
        return check_metrics(tuple(name for text in arguments.metrics for name in text.split(",") if name))
    lacking = {
        "reference": arguments.reference is None,
        "posterior mean": arguments.posterior_mean is None,
        "distribution": arguments.reference is None and not arguments.statistics,
        "nothing": False,
    }
    chosen = tuple(name for name in protocol.metrics if not lacking[METRICS[name].compares])
    left_out = [name for name in protocol.metrics if name not in chosen]
    if not chosen:
        raise ValueError("nothing to measure: give --reference or --posterior-mean")
    if left_out:
        print(f"not asked for, as the folder they compare with was not given: {', '.join(left_out)}", file=sys.stderr)
    return chosen


def _rows(arguments: argparse.Namespace) -> dict[str, Path]:
    """Folder by the name of its row; ValueError where two rows would have one name."""
    rows: dict[str, Path] = {}
    for path in arguments.restored:
        name = shown(path.stem if path.is_file() else Path(os.path.realpath(path)).name)
        if name in rows or (name == INPUT and arguments.degraded is not None):
            name = shown(path)
        if name in rows:
            raise ValueError(f"{path} is given twice")
        rows[name] = path
    return rows if arguments.degraded is None else {INPUT: arguments.degraded, **rows}


def _measure(evaluator: Evaluator, rows: dict[str, Path]) -> list[Evaluation]:
    """Each row's evaluation; where the memory does not hold a batch, once more image by image."""
    try:
        return _measure_once(evaluator, rows)
    except (RuntimeError, MemoryError) as error:
        reason = in_one_line(error)
        if evaluator.batch_size == 1 or not is_lack_of_memory(error):
            raise MemoryError(reason) if is_lack_of_memory(error) else error from None
    print(f"a batch of {evaluator.batch_size} {reason}: going on image by image", file=sys.stderr)
    free_memory()
    evaluator.batch_size = 1
    return _measure(evaluator, rows)


def _measure_once(evaluator: Evaluator, rows: dict[str, Path]) -> list[Evaluation]:
    total = sum(len(find_set(path, evaluator.reading)) for path in rows.values())
    evaluations = []
    with tqdm(total=total, desc="evaluate", unit="image", file=sys.stderr) as bar:
        for name, path in rows.items():
            evaluations.append(evaluator.evaluate(path, method=name, progress=bar.update))
    return evaluations


def _named(statistics: Statistics, arguments: argparse.Namespace) -> Statistics:
    """With the name that was asked for, its own, or that of the reference's folder."""
    folder = "" if arguments.reference is None else Path(os.path.realpath(arguments.reference)).name
    return replace(statistics, name=arguments.statistics_name or statistics.name or folder)


def _save_statistics(evaluator: Evaluator, arguments: argparse.Namespace) -> bool:
    """Whether all of them were saved; what was not is said on stderr."""
    for name in evaluator.extractors:
        try:
            own = _named(evaluator.statistics(name), arguments)
            print(f"{own.save(arguments.save_statistics / f'{name}.npz')}: {own}", file=sys.stderr)
        except (ValueError, OSError) as error:
            print(f"pmrf-blocks evaluate: cannot save the statistics of {name}: {error}", file=sys.stderr)
            return False
    return True


def _check_outputs(arguments: argparse.Namespace) -> None:
    """ValueError for what cannot be written, as far as that can be seen before anything is measured."""
    if arguments.per_image is not None and arguments.per_image.suffix not in (".csv", ".json"):
        raise ValueError(f"--per-image {arguments.per_image}: the file must end in .csv or .json")
    for path in (arguments.output, arguments.per_image):
        if path is not None and path.is_dir():
            raise ValueError(f"{path} is a folder")
        if path is not None and path.suffix.lower() in IMAGE_SUFFIXES:
            raise ValueError(f"{shown(path)} has the name of a picture; numbers are text")
    folders = [path.parent for path in (arguments.output, arguments.per_image) if path is not None]
    for folder in (*folders, *([arguments.save_statistics] if arguments.save_statistics is not None else [])):
        if reason := cannot_hold_files(folder):
            raise ValueError(f"nothing can be written to {shown(folder)}: {reason}")


def _write(path: Path | None, text: str) -> bool:
    """Write a text to a file whole or not at all, or to stdout where there is none or it cannot be written: what was
    measured is not lost. Whether it went where it should."""
    reason = ""
    if path is not None:
        try:
            write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
            return True
        except OSError as error:
            reason = error.strerror or str(error)
    sys.stdout.write(text)
    if reason:
        print(f"pmrf-blocks evaluate: cannot write {shown(path or '')}: {reason}; see stdout", file=sys.stderr)
    return not reason
