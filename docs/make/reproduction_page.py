"""docs/reproduction.md: every setting of the paper and of its authors' release beside ours, and what a step costs.

    python -m docs.make.reproduction_page            # writes the page; a test says when it is out of date

The settings are the lines of docs/make/reproduction_rows.txt: name | paper | release | ours | set by | another value |
note. What is ours stands there as a path, {recipe:attribute.path}, and is read out of the recipe's paper(); where it is
set is found in the recipe's source. Text in the place of a path is what no configuration holds.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import tyro

from docs.make.costs import cost_lines, plan_section, search_section
from pmrf_blocks.data.published_sets import PUBLISHED_SETS
from pmrf_blocks.degradations import BlindFaceDegradation
from pmrf_blocks.experiments import Net
from pmrf_blocks.flow import consistency_flow_matching_loss
from pmrf_blocks.metrics.protocols import PROTOCOLS
from pmrf_blocks.metrics.registry import METRICS
from pmrf_blocks.restoration import LatentPMRF

PAGE = Path(__file__).resolve().parents[1] / "reproduction.md"
ROWS = Path(__file__).resolve().parent / "reproduction_rows.txt"

# What a path can begin at beside the name of a recipe.
PLACES: dict[str, Any] = {
    "blind-face": Net(BlindFaceDegradation),
    "pipeline": Net(LatentPMRF, autoencoder=None, estimator=None, velocity=None, size=512),
    "consistency": Net(consistency_flow_matching_loss, None, None, None),
    "PUBLISHED_SETS": PUBLISHED_SETS,
    "PROTOCOLS": PROTOCOLS,
    "METRICS": METRICS,
}
HEAD = """# Paper, release, ours

Made by `python -m docs.make.reproduction_page`; do not edit. Every setting of *Latent Posterior-Mean Rectified Flow*
(sections 3 and 4, appendices A and B) and of its authors' release, beside the recipes'. The column *ours* is read out
of the recipes' `paper()`, and *set by* is found in their source; where a recipe's `release()` (`--scale release`)
has another value, that one stands beside it.

**The paper's scale was not run here**: no network of these sizes has been trained. What was run are the `small`
configurations ([results](results/README.md)) and the [model that ships](results/bundled.md). Recipes follow the paper
where it speaks; where they follow the release in its place, the row says why. "silent": the paper says nothing.

How to change a setting: `dataclasses.replace(stage, argument=value)`, `network.changed(argument=value)` for an argument
of a network or of another class written as `Net(Class, ...)`, and `--show` to see what came of it
([recipes](recipes.md)). Values in *another value* are examples; each is tested to be taken. `levels.*` is all levels
from high to low resolution; a level is changed by `replace` too, and given to the network in its `levels`.
"""


@dataclass(frozen=True)
class Setting:
    """One line of ROWS. `other` is a keyword argument as in code, or how to change the setting in `backticks`."""

    name: str
    paper: str
    release: str
    own: str
    where: str
    other: str
    note: str

    @property
    def path(self) -> str:
        """Of what is ours; '' where it is text."""
        return self.own[1:-1] if self.own.startswith("{") else ""

    @property
    def split(self) -> tuple[str, list[str]]:
        """Where the path begins, and its steps."""
        place, _, steps = self.path.partition(":")
        return place, steps.split(".")

    @property
    def change(self) -> dict[str, Any]:
        """The other value by the argument's name; empty where `other` is no argument."""
        if not self.other or self.other.startswith("`"):
            return {}
        call: Any = ast.parse(f"f({self.other})", mode="eval").body
        return {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}


def read_settings() -> dict[str, list[Setting]]:
    """The lines of ROWS by section."""
    sections: dict[str, list[Setting]] = {}
    rows: list[Setting] = []
    for line in ROWS.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            rows = sections.setdefault(line[2:], [])
        elif line:
            cells = [cell.strip() for cell in line.split("|")]
            rows.append(Setting(*cells, *[""] * (7 - len(cells))))
    return sections


@cache
def root(place: str, scale: str = "paper") -> Any:
    """What a path begins at: the paper() of a recipe, or one of PLACES; None for a scale that a recipe has not."""
    if place in PLACES:
        return PLACES[place]
    made = getattr(importlib.import_module(f"recipes.{place}"), scale, None)
    return None if made is None else made()


def step(value: Any, name: str) -> Any:
    """One step of a path: an argument of a Net, a field, a key, a number of an item, '*' all items. AttributeError for
    a name that is none."""
    if isinstance(value, Net) and name in value.arguments:
        return value.arguments[name]
    if isinstance(value, Mapping) and name in value:
        return value[name]
    if isinstance(value, (tuple, list)) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    return getattr(value, name)


def follow(value: Any, names: list[str]) -> Any:
    """The value at the end of a path."""
    if not names:
        return value
    if names[0] == "*":
        return tuple(follow(item, names[1:]) for item in value)
    return follow(step(value, names[0]), names[1:])


def holder(setting: Setting) -> Any:
    """What has the setting as an argument; of a path through '*' the first of them."""
    place, names = setting.split
    return follow(root(place), ["0" if name == "*" else name for name in names[:-1]])


def ours(setting: Setting) -> Any:
    place, names = setting.split
    return follow(root(place), names)


def released(setting: Setting) -> str:
    """How release() of the setting's recipe differs, to be written behind ours; '' where it does not."""
    place, names = setting.split
    if place in PLACES or root(place, "release") is None:
        return ""
    theirs = follow(root(place, "release"), names)
    return "" if theirs == ours(setting) else f" (`release()`: `{shown(theirs)}`)"


def changed(setting: Setting) -> Any:
    """The holder with the setting's other value; TypeError where it has no such argument, ValueError for a value that
    it does not take."""
    own = holder(setting)
    if isinstance(own, Net):
        return own.changed(**setting.change)
    if is_dataclass(own) and not isinstance(own, type):
        return replace(own, **setting.change)
    return {**own, **setting.change}


def kind_of(value: Any) -> Any:
    return value.kind if isinstance(value, Net) else type(value)


@cache
def written(module: str) -> dict[str, set[tuple[str, str]]]:
    """By function of a recipe, but for its smaller scales: the (class, argument) pairs that calls in it give. The class
    is '' where replace() or changed() says the argument."""
    tree = ast.parse(Path(inspect.getfile(importlib.import_module(module))).read_text(encoding="utf-8"))
    found: dict[str, set[tuple[str, str]]] = {}
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name not in ("release", "small", "debug"):
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            found[function.name] = {pair for call in calls for pair in given(call, importlib.import_module(module))}
    return found


def given(call: ast.Call, module: Any) -> list[tuple[str, str]]:
    """(class, argument) of one call, positional arguments by the names of the class's signature."""
    called, positional = ast.unparse(call.func), call.args
    named = [keyword.arg for keyword in call.keywords if keyword.arg]
    if called == "Net":
        named.append("kind")
        called, positional = ast.unparse(call.args[0]), call.args[1:]
    elif called == "replace" or called.endswith(".changed"):
        called, positional = "", []
    kind = getattr(module, called, None)
    names = list(inspect.signature(kind).parameters)[: len(positional)] if inspect.isclass(kind) else []
    return [(called, name) for name in (*names, *named)]


def set_by(setting: Setting) -> str:
    """File and function of the recipe that gives the argument; else the class whose default it is, or the file."""
    place, names = setting.split
    kind = kind_of(holder(setting))
    name = getattr(kind, "__name__", "")
    if place not in PLACES:
        for function, pairs in written(f"recipes.{place}").items():
            if {(name, names[-1]), ("", names[-1])} & pairs:
                return f"`recipes/{place}.py:{function}` `{'.'.join(names)}`"
        return f"default of `{name}`, `{'.'.join(names)}`"
    return f"default of `{name}`" if isinstance(holder(setting), Net) else f"`{place}`, `{'.'.join(names)}`"


def shown(value: Any) -> str:
    """A value as it would be written in code."""
    if isinstance(value, tuple):
        parts = [shown(item) for item in value]
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{shown(name)}: {shown(item)}" for name, item in value.items()) + "}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Net):  # by what it has of its own
        default = Net(value.kind).arguments
        own = ", ".join(f"{name}={shown(x)}" for name, x in value.arguments.items() if x != default[name])
        return f"{value.kind.__name__}({own})"
    return getattr(value, "__name__", None) or repr(value)


def row(setting: Setting) -> str:
    if setting.path:
        own, where = f"`{shown(ours(setting))}`{released(setting)}", set_by(setting)
    else:
        own, where = setting.own, setting.where
    own += f"; {setting.note}" if setting.note else ""
    other = f"`{setting.other}`" if setting.change else setting.other
    return f"| {' | '.join((setting.name, setting.paper, setting.release, own, where, other))} |"


def markdown() -> str:
    """The page."""
    text = [HEAD]
    for section, settings in read_settings().items():
        text += [f"## {section}", "", "| setting | paper | release | ours | set by | another value |",
                 "|---|---|---|---|---|---|"]  # fmt: skip
        text += [*map(row, settings), ""]
    return "\n".join([*text, *search_section(), "", *cost_lines(), "", *plan_section()]) + "\n"


def main() -> None:
    """Write docs/reproduction.md."""
    PAGE.write_text(markdown(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
