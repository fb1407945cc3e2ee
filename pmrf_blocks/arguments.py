"""Constructor arguments out of a stranger's config.json, checked against the constructor before it is called.

What a configuration may say is what the constructor's annotations say, in JSON: numbers, strings, lists, objects for
mappings and dataclasses, import paths for classes and functions. Sizes are bounded, so that nothing is computed for
hours or asks for all memory before it is compared with the weights.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, Union

from pmrf_blocks.json_files import is_kind
from pmrf_blocks.messages import short
from pmrf_blocks.variants import is_path

LARGEST = 10**9  # of an int: widths and sizes of this kind are left to the comparison with the weights
LONGEST = 1000  # of a list, an object, or a string


def check_arguments(make: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """ValueError, in one line that begins with the argument's name, where `arguments`, read from JSON, is not what
    `make` (a class or function) takes: unknown names, missing ones, other types, sizes beyond all bounds."""
    target = inspect.unwrap(make.__init__) if inspect.isclass(make) else inspect.unwrap(make)
    parameters = dict(inspect.signature(target).parameters)
    if inspect.isclass(make):
        parameters.pop(next(iter(parameters)))  # self
    _check_fields(arguments, parameters, _hints(target), "")


def _check_fields(
    values: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, Any], where: str
) -> None:
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = {name: entry for name, entry in parameters.items() if entry.kind not in several}
    anything = any(entry.kind is inspect.Parameter.VAR_KEYWORD for entry in parameters.values())
    for name, value in values.items():
        if name not in named and not anything:
            raise ValueError(f"{where}{short(name)} is no argument known here")
        _check_value(value, hints.get(name, Any), f"{where}{name}")
    for name, entry in named.items():
        if entry.default is inspect.Parameter.empty and name not in values:
            raise ValueError(f"{where}{name} is missing")


def _check_value(value: Any, kind: Any, where: str) -> None:
    _check_size(value, where)
    if not _fits(value, kind, where):
        raise ValueError(f"{where} must be {_name(kind)}; got {short(value)}")


def _fits(value: Any, kind: Any, where: str) -> bool:
    """Whether a JSON value is of an annotated type. ValueError where the kind is right and something within is not."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or isinstance(kind, TypeVar):
        return True
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in inner)
    if origin in (Union, types.UnionType):
        return _fits_one(value, inner, where)
    if origin is typing.Annotated:
        return _fits(value, inner[0], where)
    base = origin or kind
    if base in (collections.abc.Callable, type):
        return is_path(value)
    if base is None or base is type(None):
        return value is None
    if base in (bool, int, float, str):
        return is_kind(value, base)
    if dataclasses.is_dataclass(base):
        return isinstance(value, Mapping) and _fits_dataclass(value, base, where)
    if base is tuple:
        return isinstance(value, list) and _fits_tuple(value, inner, where)
    if inspect.isclass(base) and issubclass(base, collections.abc.Mapping):
        return isinstance(value, Mapping) and all(_each(value.values(), inner[1] if len(inner) == 2 else Any, where))
    if (inspect.isclass(base) and issubclass(list, base)) or base is set:
        return isinstance(value, list) and all(_each(value, inner[0] if inner else Any, where))
    return False  # what JSON cannot say


def _fits_one(value: Any, kinds: tuple[Any, ...], where: str) -> bool:
    reasons = []
    for kind in kinds:
        try:
            if _fits(value, kind, where):
                return True
        except ValueError as reason:
            reasons.append(reason)
    if reasons:
        raise reasons[0]
    return False


def _fits_dataclass(value: Mapping[str, Any], kind: Any, where: str) -> bool:
    _check_fields(value, dict(inspect.signature(kind).parameters), _hints(kind), f"{where}: ")
    return True


def _fits_tuple(value: list[Any], kinds: tuple[Any, ...], where: str) -> bool:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return all(_each(value, kinds[0], where))
    if kinds and len(kinds) != len(value):
        return False
    return all(_fits(item, kind, f"{where}[{n}]") for n, (item, kind) in enumerate(zip(value, kinds or [Any] * 1000)))


def _each(values: collections.abc.Iterable[Any], kind: Any, where: str) -> list[bool]:
    return [_fits(item, kind, f"{where}[{number}]") for number, item in enumerate(values)]


def _check_size(value: Any, where: str) -> None:
    """ValueError for numbers and lengths that no configuration has, at any depth."""
    if isinstance(value, (str, list, Mapping)) and len(value) > LONGEST:
        raise ValueError(f"{where} is of length {len(value)}, more than {LONGEST}")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError(f"{where} is {short(value)}, beyond {LARGEST}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is not a finite number")
    if isinstance(value, Mapping):
        for name, item in value.items():
            _check_size(item, f"{where}: {short(name)}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_size(item, f"{where}[{number}]")


def _hints(target: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError, AttributeError):  # annotations that only a type checker can resolve
        return {}


def _name(kind: Any) -> str:
    return kind.__name__ if inspect.isclass(kind) and not typing.get_args(kind) else str(kind).replace("typing.", "")
