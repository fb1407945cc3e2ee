"""The tutorials: Markdown whose Python is run when the site is built, and notebooks made of the same pages.

    python -m docs.make.tutorials     # writes docs/tutorials/*.ipynb

A fence that begins with ```python is a cell; with title="my_norms.py" it is written to that file, which later cells can
import. What a cell prints, and the value of its last line, follow it on the page, as in a notebook: a Pillow image as a
picture, everything else as text. All cells of a page share their names and a folder of their own.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import functools
import io
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "tutorials"
FENCE = re.compile(r'^```python(?: title="(?P<file>[^"]+)")?\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Cell:
    """Prose, or code that begins at `line` of its page; `file` is where code goes that is not run itself."""

    text: str
    code: bool = False
    file: str | None = None
    line: int = 1


@dataclass(frozen=True)
class Output:
    """What a cell printed, and its last value where that is a picture, as PNG."""

    text: str = ""
    picture: bytes = b""


def cells_of(markdown: str) -> list[Cell]:
    """The page cut at its Python fences."""
    cells, end = [], 0
    for match in FENCE.finditer(markdown):
        cells.append(Cell(markdown[end : match.start()].strip("\n")))
        line = markdown.count("\n", 0, match.start("code")) + 1
        cells.append(Cell(match["code"], code=True, file=match["file"], line=line))
        end = match.end()
    cells.append(Cell(markdown[end:].strip("\n")))
    return [cell for cell in cells if cell.text]


def notebook(cells: Sequence[Cell]) -> str:
    """The same as a notebook (nbformat 4.5), without outputs."""
    made = []
    for number, cell in enumerate(cells):
        text = (f"%%writefile {cell.file}\n" if cell.file else "") + cell.text.rstrip("\n")
        common = {"id": f"cell-{number}", "metadata": {}, "source": text.splitlines(keepends=True)}
        if cell.code:
            made.append({"cell_type": "code", "execution_count": None, "outputs": [], **common})
        else:
            made.append({"cell_type": "markdown", **common})
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def run(cells: Sequence[Cell], name: str = "tutorial") -> list[Output]:
    """Run the cells in order, in an empty folder, by one thread: networks this small lose by more, and much on a busy
    machine. An error names `name` and its line."""
    names: dict[str, Any] = {"__name__": "tutorial"}
    with _own_folder(), _one_thread():
        return [_run_cell(cell, names, name) if cell.code else Output() for cell in cells]


def _run_cell(cell: Cell, names: dict[str, Any], name: str) -> Output:
    if cell.file:
        Path(cell.file).write_text(cell.text, encoding="utf-8")
        return Output()
    body = ast.increment_lineno(ast.parse(cell.text), cell.line - 1).body
    last = body[-1]
    shown = last.value if isinstance(last, ast.Expr) else None
    body = body if shown is None else body[:-1]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        exec(compile(ast.Module(body, []), name, "exec"), names)
        value = None if shown is None else eval(compile(ast.Expression(shown), name, "eval"), names)
    if isinstance(value, Image.Image):
        picture = io.BytesIO()
        value.save(picture, "PNG")
        return Output(printed.getvalue(), picture.getvalue())
    return Output(printed.getvalue() + ("" if value is None else f"{value!r}\n"))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _own_folder() -> Iterator[None]:
    """An empty working folder, out of which modules are imported; these are forgotten afterwards."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        place = str(Path(folder).resolve())
        sys.path.insert(0, place)
        try:
            yield
        finally:
            sys.path.remove(place)
            for name, module in list(sys.modules.items()):
                if str(getattr(module, "__file__", None) or "").startswith(place):
                    del sys.modules[name]


def page(cells: Sequence[Cell], outputs: Sequence[Output]) -> str:
    """The page with what its cells gave."""
    parts = []
    for cell, output in zip(cells, outputs, strict=True):
        if not cell.code:
            parts.append(cell.text)
            continue
        title = f' title="{cell.file}"' if cell.file else ""
        parts.append(f"```python{title}\n{cell.text}```")
        if output.text:
            parts.append(f"```text\n{output.text.rstrip()}\n```")
        if output.picture:
            parts.append(f"![What this cell shows](data:image/png;base64,{base64.b64encode(output.picture).decode()})")
    return "\n\n".join(parts) + "\n"


@functools.cache
def executed(markdown: str, name: str) -> str:
    """The page with what its cells gave; run once, however often the site is built by one process."""
    cells = cells_of(markdown)
    return page(cells, run(cells, name))


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """mkdocs' hook: tutorials are run, other pages left alone."""
    name = page.file.src_uri
    return executed(markdown, name) if name.startswith(f"{FOLDER.name}/") else markdown


def main() -> None:
    for path in sorted(FOLDER.glob("*.md")):
        cells = cells_of(path.read_text(encoding="utf-8"))
        if any(cell.code for cell in cells):
            path.with_suffix(".ipynb").write_text(notebook(cells), encoding="utf-8")
            print(path.with_suffix(".ipynb"))


if __name__ == "__main__":
    main()
