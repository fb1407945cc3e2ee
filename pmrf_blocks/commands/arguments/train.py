"""Arguments of pmrf-blocks train."""

from __future__ import annotations

import argparse

SUMMARY = "train a recipe of this checkout"
EPILOG = "Same as: python -m recipes.RECIPE ARGUMENTS\n\nexample:\n  pmrf-blocks train bundled --data DIR --scale debug"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="a module in ./recipes, or the path of a .py file")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="ARGUMENTS", help="go to the recipe (try --help)"
    )
