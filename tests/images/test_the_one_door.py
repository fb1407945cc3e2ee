"""No other code opens or converts image files, and all text is UTF-8."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [path for place in ("pmrf_blocks", "recipes") for path in sorted((ROOT / place).rglob("*.py"))]
DOOR = ROOT / "pmrf_blocks" / "images"
READERS = {"open", "convert", "exif_transpose", "profileToProfile", "imread"}


def pillow_names(tree):
    """Names that a module has from Pillow."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "PIL"
        for alias in node.names
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_door_opens_and_converts(path):
    if DOOR in path.parents:
        pytest.skip("this is the door")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    pillow = pillow_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READERS:
            owner = node.func.value
            named = isinstance(owner, ast.Name) and owner.id in pillow
            assert not named, f"line {node.lineno} calls Pillow's {node.func.attr}"
            if pillow:
                assert node.func.attr != "convert", f"line {node.lineno} converts a picture"
        assert not (isinstance(node, ast.Name) and node.id == "ImageCms"), f"line {node.lineno}"
