"""What a user waits for before anything happens: import pmrf_blocks, and pmrf-blocks --help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.comparison import Call, Comparison, Goal, Seconds, Settings

IMPORT = """
import sys, time
start = time.perf_counter()
import pmrf_blocks
took = time.perf_counter() - start
assert "torch" not in sys.modules
print(took)
"""


def importing() -> Call:
    def call() -> Seconds:
        run = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
        return Seconds(run.stdout)

    return call


def asking_for_help() -> Call:
    command = [sys.executable, "-m", "pmrf_blocks.cli", "--help"]
    return lambda: subprocess.run(command, capture_output=True, check=True).returncode


def comparisons(settings: Settings) -> Iterator[Comparison]:
    yield Comparison(
        "import pmrf_blocks",
        {"ours": importing},
        goals=(Goal("", 0.05, "seconds"),),
        tolerance=None,
        unequal="there is no peer",
    )
    yield Comparison(
        "pmrf-blocks --help, a whole process",
        {"ours": asking_for_help},
        goals=(Goal("", 0.5, "seconds"),),
        tolerance=None,
        unequal="there is no peer",
    )
