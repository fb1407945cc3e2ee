"""pmrf-blocks train"""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path


def run(arguments: argparse.Namespace) -> int:
    path = Path(arguments.recipe)
    folder = Path("recipes")
    if path.suffix == ".py" and path.is_file():
        sys.argv = [str(path), *arguments.arguments]
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_path(str(path), run_name="__main__")
        return 0
    recipes = sorted(p.stem for p in folder.glob("*.py") if "__main__" in p.read_text(encoding="utf-8"))
    if arguments.recipe not in recipes:
        known = f"recipes here: {', '.join(recipes)}" if recipes else "no folder 'recipes' here: run it in a checkout"
        print(f"pmrf-blocks train: no recipe {arguments.recipe!r}; {known}", file=sys.stderr)
        return 2
    sys.argv = [f"recipes/{arguments.recipe}.py", *arguments.arguments]
    sys.path.insert(0, str(Path.cwd()))
    runpy.run_module(f"recipes.{arguments.recipe}", run_name="__main__")
    return 0
