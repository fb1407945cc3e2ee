"""python -m benchmarks run [NAMES] [--tiny] [--device D]; python -m benchmarks report"""

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
from benchmarks.rates import fast_dtypes
from benchmarks.report import write_page
from benchmarks.running import run
from pmrf_blocks.commands.arguments.common import positive

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "benchmarks.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if everything asked for was measured and every output was equal."""
    parsed = build_parser().parse_args(arguments)
    try:
        return report(parsed) if parsed.command == "report" else measure(parsed)
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
    stamp = f"{device.type}-{torch.get_num_threads()}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    output = parsed.output or (Path("runs") if parsed.tiny else RESULTS) / f"{stamp}.json"
    repetitions, seconds = (3, 1.0) if parsed.tiny else (parsed.repetitions, parsed.seconds)
    dtypes = tuple(PRECISIONS[name] for name in parsed.dtypes) if parsed.dtypes else fast_dtypes(device)
    settings = Settings(device, parsed.tiny, repetitions, seconds, dtypes, 60.0 * parsed.minutes)
    failed = run(parsed.names, settings, output)
    print(output)
    return 1 if failed else 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Ours beside its peers, in one run.")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="measure, into one JSON file")
    running.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    running.add_argument("--tiny", action="store_true", help="sizes for a test: seconds, and numbers that mean nothing")
    running.add_argument("--device", choices=("cpu", "cuda"), help="cpu or cuda (default: cuda where it works)")
    running.add_argument("--threads", type=positive, help="CPU threads, for ours and the peers (default: all cores)")
    running.add_argument("--repetitions", type=positive, default=15, help="at most (default: 15)")
    running.add_argument(
        "--seconds",
        type=duration,
        default=10.0,
        help="for a contender of a row; longer calls are made once (default: 10)",
    )
    running.add_argument("--minutes", type=float, default=math.inf, help="begin no row after so many (default: no end)")
    running.add_argument(
        "--dtypes", nargs="+", choices=PRECISIONS, help="precisions of rows (default: those that the device is fast in)"
    )
    running.add_argument("--output", type=Path, help="JSON file (default: a new one in benchmarks/results)")
    report = commands.add_parser("report", help="write docs/benchmarks.md")
    report.add_argument("--results", type=Path, default=RESULTS, help="folder of JSON files")
    report.add_argument("--output", type=Path, default=PAGE, help="page to write")
    return parser


def duration(text: str) -> float:
    """Seconds of an argument, above 0."""
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be above 0; got {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
