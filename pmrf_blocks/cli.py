"""The command line. Parsing imports neither torch nor any room; each command imports what it needs when it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from pmrf_blocks import __version__

# Each has its arguments in commands/arguments/NAME.py and its work in commands/NAME.py.
COMMANDS = (
    "restore", "degrade", "evaluate", "demo", "info", "prepare", "plane", "convergence", "train", "benchmark",
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
    parsed = build_parser().parse_args(arguments)
    try:
        return import_module(f"pmrf_blocks.commands.{parsed.command}").run(parsed)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
