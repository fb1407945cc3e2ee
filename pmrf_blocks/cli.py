"""The command line. Parsing imports neither torch nor any room; each command imports what it needs when it runs."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from pmrf_blocks import __version__

# Each has its arguments in commands/arguments/NAME.py and its work in commands/NAME.py.
COMMANDS = (
    "restore", "web", "degrade", "evaluate", "demo", "info", "prepare", "plane", "convergence", "grid", "train",
    "export", "benchmark",
)  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; imports the arguments of every command, and no command."""
    parser = argparse.ArgumentParser(
        prog="pmrf-blocks",
        description="Restore degraded faces with Latent-PMRF, and what belongs to it.",
        epilog="'pmrf-blocks COMMAND --help' explains a command. Try first: pmrf-blocks demo",
    )
    parser.add_argument("--version", action="version", version=f"pmrf-blocks {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        asked = import_module(f"pmrf_blocks.commands.arguments.{name}")
        command = commands.add_parser(
            name,
            help=asked.SUMMARY,
            description=asked.SUMMARY,
            epilog=asked.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        asked.add_arguments(command)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 only if everything asked for was done."""
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is wrong with a file is said in one line, with its name
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold what the terminal cannot show
    try:
        try:
            parsed = build_parser().parse_args(arguments)
            return import_module(f"pmrf_blocks.commands.{parsed.command}").run(parsed)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our results has gone, as `head` does
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as a program that SIGPIPE ends


if __name__ == "__main__":
    sys.exit(main())
