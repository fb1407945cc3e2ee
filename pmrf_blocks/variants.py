"""Variants of a block: a registered name, or a class or function of one's own, which is as good.

resolve()       what an argument such as norm="layer" or norm=MyNorm stands for
import_path()   'my_package.my_module:MyNorm', how one's own is written to config.json
from_path()     the way back; code outside pmrf_blocks is imported only where the caller trusts its module
source_of()     what its result depends on, for a run's config hash
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

PACKAGE = __name__.partition(".")[0]
PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")

Variant = TypeVar("Variant")


def resolve(value: str | Variant, table: Mapping[str, Variant], name: str) -> Variant:
    """What the argument `name` stands for: an entry of `table`, or `value` itself where it is a class or function.

    ValueError lists the names where it is neither.
    """
    if callable(value):
        return value
    if not isinstance(value, str) or value not in table:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, table))}; got {value!r} (a class or function will do too)"
        )
    return table[value]


def import_path(value: Callable[..., Any]) -> str:
    """'module:name' of a class or function that any process can import by it; ValueError where none can."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not module or not name or getattr(sys.modules.get(module), name, None) is not value:
        raise ValueError(
            f"{_called(value)} cannot be saved: it has no import path. Define it with class or def at the top of a "
            "module (no lambda, no partial, nothing inside a function)"
        )
    if module == "__main__":
        raise ValueError(
            f"{_called(value)} cannot be saved: it is defined in the script that runs. Move it to a module that can be "
            "imported, and import it from there"
        )
    return f"{module}:{name}"


def is_path(value: object) -> bool:
    """Whether a value of config.json is what import_path() writes."""
    return isinstance(value, str) and PATH.fullmatch(value) is not None


def from_path(path: str, *, trusted_modules: Collection[str] = ()) -> Callable[..., Any]:
    """The class or function that import_path() gave `path` for.

    Importing runs code, so nothing is imported but pmrf_blocks' own layers (nn.Module classes) and what is defined in
    `trusted_modules`, names of modules or of packages that hold them. ValueError says which name is not trusted, or
    that there is no such class or function.
    """
    if not is_path(path):
        raise ValueError(f"{path!r} is not an import path such as 'my_package.my_module:MyNorm'")
    if isinstance(trusted_modules, str):
        trusted_modules = (trusted_modules,)
    module, _, name = path.partition(":")
    parents = {module[: match.start()] for match in re.finditer(r"\.", module)} | {module}
    trusted = not parents.isdisjoint(trusted_modules)
    if not trusted and PACKAGE not in parents:
        raise ValueError(
            f"{path!r} is code outside {PACKAGE}, which is not imported unasked; where you trust it, pass "
            f"trusted_modules=({module!r},)"
        )
    try:
        value = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{path!r} cannot be imported: {error}") from None
    layer = inspect.isclass(value) and issubclass(value, nn.Module)
    if getattr(value, "__module__", None) != module or not (layer or (trusted and callable(value))):
        raise ValueError(f"{path!r} is not a class or function of {module}")
    return value


def source_of(value: Callable[..., Any]) -> str:
    """The code of a class or function and of what it names: base classes, helpers, constants, modules, as far as
    they are one's own (not installed). Without comments, so that these change no hash.

    ValueError where Python cannot find the code.
    """
    found: dict[str, str] = {}
    _collect(value, found)
    return "\n".join(found[name] for name in sorted(found))


def _collect(value: Any, found: dict[str, str]) -> None:
    """Add the code of `value`, and of what it names, to `found`."""
    if isinstance(value, functools.partial):
        arguments = f"{value.args} {value.keywords}"
        found[f"partial: {arguments}"] = arguments
        return _collect(value.func, found)
    module, name = getattr(value, "__module__", ""), getattr(value, "__qualname__", "")
    if f"{module}:{name}" in found:
        return None
    text, used = _code(value)
    found[f"{module}:{name}"] = text
    named = {key: item for key, item in vars(sys.modules[module]).items() if key in used}
    named |= inspect.getclosurevars(value).nonlocals if inspect.isfunction(value) else {}
    for key, item in named.items():
        if (inspect.isclass(item) or inspect.isfunction(item)) and _is_own(item.__module__):
            _collect(item, found)
        elif inspect.ismodule(item) and _is_own(item.__name__):
            found[item.__name__] = _code(item)[0]
        elif _is_literal(item):
            found[f"{module}:{key}"] = f"{key} = {item!r}"
    return None


def _code(value: Any) -> tuple[str, set[str]]:
    """The code of a class, function or module, and the names in it."""
    try:
        text = textwrap.dedent(inspect.getsource(value))
    except (OSError, TypeError):
        raise ValueError(f"the code of {_called(value)} cannot be found; define it in a file") from None
    try:
        tree = ast.parse(text)
    except SyntaxError:  # the lines of a lambda need not be a whole statement
        return text, set(re.findall(r"\w+", text))
    return ast.unparse(tree), {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _is_own(module: str) -> bool:
    """Whether a module is one's own: neither installed, nor a part of Python or of this package."""
    top, place = module.partition(".")[0], getattr(sys.modules.get(module), "__file__", None)
    if top == "__main__":
        return True
    installed = place is None or {"site-packages", "dist-packages"} & set(Path(place).parts)
    return not installed and top not in sys.stdlib_module_names and top != PACKAGE


def _is_literal(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_literal, value))
    if isinstance(value, dict):
        return all(map(_is_literal, (*value, *value.values())))
    return value is None or isinstance(value, (bool, int, float, complex, str, bytes))


def _called(value: object) -> str:
    return getattr(value, "__qualname__", None) or repr(value)
