"""Tutorials run from beginning to end, and their notebooks are the same pages."""

import json

import pytest

from docs.make import tutorials
from docs.make.tutorials import FOLDER, Cell, cells_of, notebook, page, run

PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "index.md")
PICTURES = {"blocks": 3, "own_images": 2, "own_norm": 0, "plane": 2}


def test_there_are_tutorials_and_the_index_names_each():
    index = (FOLDER / "index.md").read_text()
    assert len(PAGES) >= 4
    assert all(f"({path.name})" in index for path in PAGES)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_notebook_is_the_page(path):
    made = path.with_suffix(".ipynb")
    assert made.read_text() == notebook(cells_of(path.read_text())), "run python -m docs.make.tutorials"
    assert f"({made.name})" in path.read_text()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_tutorial_runs(path):
    cells = json.loads(path.with_suffix(".ipynb").read_text())["cells"]
    outputs = run([_cell(cell) for cell in cells], path.name)
    assert any(output.text for output in outputs)
    assert sum(bool(output.picture) for output in outputs) == PICTURES[path.stem]


def _cell(cell):
    """What a notebook does with a cell of it."""
    text = "".join(cell["source"]) + "\n"
    if text.startswith("%%writefile "):
        first, _, text = text.partition("\n")
        return Cell(text, code=True, file=first.split()[1])
    return Cell(text, code=cell["cell_type"] == "code")


TEXT = """Before.

```python title="made.py"
value = 3
```

Between, with what is not run:

```bash
pmrf-blocks demo
```

```python
from made import value
print(value)
value + 1
```
"""


def test_cells_share_names_files_and_show_their_last_value():
    cells = cells_of(TEXT)
    assert [(cell.code, cell.file) for cell in cells] == [(False, None), (True, "made.py"), (False, None), (True, None)]
    outputs = run(cells)
    assert [output.text for output in outputs] == ["", "", "", "3\n4\n"]
    shown = page(cells, outputs)
    assert shown.startswith(TEXT[:-1])
    assert shown.endswith("```text\n3\n4\n```\n")
    assert run(cells_of(TEXT.replace("= 3", "= 5")))[-1].text == "5\n6\n"  # nothing is left of an earlier run


def test_a_picture_is_shown():
    cells = cells_of("```python\nfrom PIL import Image\nImage.new('RGB', (2, 2))\n```\n")
    (output,) = run(cells)
    assert output.picture.startswith(b"\x89PNG")
    assert "](data:image/png;base64," in page(cells, [output])


def test_an_error_has_the_line_of_its_page():
    with pytest.raises(ZeroDivisionError) as caught:
        run(cells_of(TEXT + "\n```python\n1 / 0\n```\n"), "mine.md")
    last = caught.traceback[-1]
    assert (str(last.path).endswith("mine.md"), last.lineno + 1) == (True, TEXT.count("\n") + 3)


def test_other_pages_are_left_alone():
    class Page:
        class file:
            src_uri = "flows.md"

    assert tutorials.on_page_markdown(TEXT, page=Page) == TEXT
    Page.file.src_uri = "tutorials/mine.md"
    assert "```text\n3\n4\n```" in tutorials.on_page_markdown(TEXT, page=Page)
