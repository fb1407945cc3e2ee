"""pmrf-blocks benchmark"""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path


def run(arguments: argparse.Namespace) -> int:
    if not Path("benchmarks/__main__.py").is_file():
        print("pmrf-blocks benchmark: no folder 'benchmarks' here: run it in a checkout", file=sys.stderr)
        return 2
    sys.argv = ["benchmarks", arguments.action, *arguments.arguments]
    sys.path.insert(0, str(Path.cwd()))
    try:
        runpy.run_module("benchmarks", run_name="__main__")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    return 0
