"""JSON files read with suspicion: size, nesting, numbers and types are checked, whatever is wrong is one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pmrf_blocks.messages import first_line, short

DEEPEST = 30  # objects and lists within one another
LARGEST = 2**26  # bytes; a configuration has a few thousand, the list of files in a large tar some million


def read_json_object(
    path: Path, error: type[Exception], fields: Mapping[str, type | tuple[type, ...]] | None = None
) -> dict[str, Any]:
    """The JSON object in a file.

    Arguments:
        error: class of what is raised where the file is missing, cannot be read, is damaged, or is no object; the
            message is one line that begins with the path.
        fields: names that must be there, each with the type or types of its value. bool does not pass for int, int
            passes for float.
    """
    if path.exists() and not path.is_file():  # a pipe would keep the reader waiting
        raise error(f"{path} is not a file")
    try:
        if path.stat().st_size > LARGEST:
            raise error(f"{path} is damaged: {path.stat().st_size} bytes, more than {LARGEST}")
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise error(f"{path} not found") from None
    except OSError as reason:
        raise error(f"{path} cannot be read: {reason.strerror or reason}") from None
    except (ValueError, RecursionError) as reason:
        raise error(f"{path} is damaged: {first_line(reason)}") from None
    if not isinstance(content, dict):
        raise error(f"{path} is damaged: not a JSON object")
    if depth(content) > DEEPEST:
        raise error(f"{path} is damaged: nested more than {DEEPEST} deep")
    for name, kinds in (fields or {}).items():
        if name not in content:
            raise error(f"{path} is damaged: {name!r} is missing")
        if not is_kind(content[name], kinds):
            raise error(f"{path} is damaged: {name!r} is {short(content[name])}, not of type {_names(kinds)}")
    return content


def depth(value: Any) -> int:
    """How deep objects and lists lie within one another; 0 for a plain value."""
    level, layer = 0, [value]
    while layer := [one for one in layer if isinstance(one, (dict, list))]:
        level += 1
        layer = [inner for one in layer for inner in (one.values() if isinstance(one, dict) else one)]
    return level


def is_kind(value: Any, kinds: type | tuple[type, ...]) -> bool:
    """isinstance() with JSON's meaning: true and false are no numbers, 1 is a number like 1.0."""
    allowed = kinds if isinstance(kinds, tuple) else (kinds,)
    if isinstance(value, bool):
        return bool in allowed
    return isinstance(value, allowed) or (isinstance(value, int) and float in allowed)


def _names(kinds: type | tuple[type, ...]) -> str:
    return " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")
