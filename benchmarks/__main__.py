"""python -m benchmarks run [NAMES] [--tiny] [--device D]; python -m benchmarks report; python -m benchmarks cuda"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import BENCHMARKS
from benchmarks.comparison import PRECISIONS, Settings
from benchmarks.on_cuda import MINUTES, ON_CUDA, REPETITIONS, SECONDS
from benchmarks.rates import fast_dtypes
from benchmarks.report import write_page
from benchmarks.running import run
from pmrf_blocks.commands.arguments.common import positive

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE, TINY = ROOT / "benchmarks" / "results", ROOT / "docs" / "benchmarks.md", Path("runs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if everything asked for was measured and every output was equal."""
    parsed = build_parser().parse_args(arguments)
    try:
        return {"run": measure, "report": report, "cuda": measure_and_report}[parsed.command](parsed)
    except (ValueError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2


def report(parsed: argparse.Namespace) -> int:
    write_page(sorted(parsed.results.glob("*.json")), parsed.output)
    print(parsed.output)
    return 0


def measure(parsed: argparse.Namespace) -> int:
    if parsed.threads is not None:
        torch.set_num_threads(parsed.threads)
    device = torch.device(parsed.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' does not work here (torch.cuda.is_available() is False)")
    if parsed.output is None:
        stamp = f"{device.type}-{torch.get_num_threads()}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
        parsed.output = (TINY if parsed.tiny else RESULTS) / f"{stamp}.json"
    repetitions, seconds = (3, 1.0) if parsed.tiny else (parsed.repetitions, parsed.seconds)
    dtypes = tuple(PRECISIONS[name] for name in parsed.dtypes) if parsed.dtypes else fast_dtypes(device)
    settings = Settings(device, parsed.tiny, repetitions, seconds, dtypes, 60.0 * parsed.minutes, device.type == "cuda")
    failed = run(parsed.names, settings, parsed.output)
    print(parsed.output)
    return 1 if failed else 0


def measure_and_report(parsed: argparse.Namespace) -> int:
    status = measure(parsed)
    page = parsed.page or (TINY / PAGE.name if parsed.tiny else PAGE)
    write_page(sorted({*RESULTS.glob("*.json"), parsed.output.resolve()}), page)
    print(page)
    return status


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Ours beside its peers, in one run.")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="measure, into one JSON file")
    running.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    add_measuring(running, repetitions=15, seconds=10.0, minutes=math.inf)
    cuda = commands.add_parser("cuda", help="measure everything that a GPU is for, and write docs/benchmarks.md")
    add_measuring(cuda, repetitions=REPETITIONS, seconds=SECONDS, minutes=MINUTES)
    cuda.add_argument("--page", type=Path, help="page to write (default: docs/benchmarks.md)")
    cuda.set_defaults(names=tuple(ON_CUDA), device="cuda")
    report = commands.add_parser("report", help="write docs/benchmarks.md")
    report.add_argument("--results", type=Path, default=RESULTS, help="folder of JSON files")
    report.add_argument("--output", type=Path, default=PAGE, help="page to write")
    return parser


def add_measuring(parser: argparse.ArgumentParser, *, repetitions: int, seconds: float, minutes: float) -> None:
    """Arguments of whatever measures, with these defaults."""
    parser.add_argument("--tiny", action="store_true", help="sizes for a test: seconds, and numbers that mean nothing")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="cpu or cuda (default: cuda where it works)")
    parser.add_argument("--threads", type=positive, help="CPU threads, for ours and the peers (default: all cores)")
    parser.add_argument(
        "--repetitions", type=positive, default=repetitions, help=f"at most (default: {repetitions}); at least 3"
    )
    parser.add_argument(
        "--seconds",
        type=duration,
        default=seconds,
        help="for a contender of a row: a first call says how many repetitions that allows; a longer one is made once "
        f"(default: {seconds:g})",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=minutes,
        help="end within so many, of which each benchmark has a share "
        f"(default: {'no end' if math.isinf(minutes) else f'{minutes:g}'})",
    )
    parser.add_argument(
        "--dtypes", nargs="+", choices=PRECISIONS, help="precisions of rows (default: those that the device is fast in)"
    )
    parser.add_argument("--output", type=Path, help="JSON file (default: a new one in benchmarks/results)")


def duration(text: str) -> float:
    """Seconds of an argument, above 0."""
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be above 0; got {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
