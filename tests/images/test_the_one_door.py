"""No other code opens or converts image files, and all text is UTF-8."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOOR = ROOT / "pmrf_blocks" / "images"
READERS = {"open", "exif_transpose", "profileToProfile", "imread", "read_image", "decode_image"}


def calls(*places):
    """(file:line, module's syntax tree, call) of every call in the Python files of the places."""
    for place in places:
        for path in sorted((ROOT / place).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.Call):
                    yield path, f"{path.relative_to(ROOT)}:{node.lineno}", tree, node


def pillow_names(tree):
    """Names that a module has from Pillow."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom | ast.Import)
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).split(".")[0] == "PIL"
    }


def test_only_the_door_opens_and_converts():
    offenders, at_the_door = [], 0
    for path, place, tree, call in calls("pmrf_blocks", "recipes"):
        if not isinstance(call.func, ast.Attribute):
            continue
        owner, name = call.func.value, call.func.attr
        pillow = pillow_names(tree) if name in READERS or name == "convert" else set()
        opens = name in READERS and isinstance(owner, ast.Name) and owner.id in pillow
        if (opens or name == "convert") and pillow:
            if DOOR in path.parents:
                at_the_door += 1
            else:
                offenders.append(f"{place} calls {name}")
    assert offenders == []
    assert at_the_door > 3  # the test sees what it looks for


def is_text(call):
    """Whether a call opens, reads or writes text."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr in ("read_text", "write_text")
    modes = [*call.args[:2], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    binary = any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in modes)
    return isinstance(call.func, ast.Name) and call.func.id == "open" and not binary


def test_texts_are_read_and_written_as_utf8():
    found = [
        (place, {keyword.arg for keyword in call.keywords})
        for _, place, _, call in calls("pmrf_blocks", "recipes", "docs", "benchmarks")
        if is_text(call)
    ]
    assert [place for place, stated in found if "encoding" not in stated] == []
    assert len(found) > 10
