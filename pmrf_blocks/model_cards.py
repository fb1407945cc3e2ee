"""Model cards: the README.md of a model's folder, with the front matter that the Hugging Face hub reads.

A card says what the model knows of itself, what provenance.json tells of its training, and what its owner states
(licence, picture). One that is there already is its owner's, and stays.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from pmrf_blocks.hub import CARD, PICTURE
from pmrf_blocks.pretrained import plain_class
from pmrf_blocks.registry import CLASSES, name_of
from pmrf_blocks.variants import PACKAGE, import_path, is_path
from pmrf_blocks.whole_files import write_text

PROVENANCE = "provenance.json"
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
COLUMNS = ("steps", "images", "batch_size", "hours", "hardware", "versions", "revision")


@dataclass(frozen=True)
class Place:
    """Where a model is loaded from: a hub id, or './FOLDER'."""

    name: str
    revision: str | None = None
    variant: str | None = None

    def arguments(self, trusted: Sequence[str] = ()) -> str:
        """Of from_pretrained(), as Python writes them."""
        given = {"revision": self.revision, "variant": self.variant}
        text = [json.dumps(self.name)] + [f"{key}={json.dumps(value)}" for key, value in given.items() if value]
        if trusted:
            text.append(f"trusted_modules=[{', '.join(map(json.dumps, trusted))}]")
        return ", ".join(text)

    @property
    def title(self) -> str:
        return self.name.removeprefix("./")


def check_license(license: str | None) -> None:
    """ValueError for what cannot be the hub's identifier of a licence."""
    if license is not None and not (isinstance(license, str) and LICENSE.fullmatch(license)):
        raise ValueError(f"license must be an identifier of the hub, such as 'mit' or 'cc-by-4.0'; got {license!r}")


def write_card(folder: Path, text: str) -> None:
    """Write README.md into `folder`, unless there is one."""
    if not (folder / CARD).exists():
        write_text(folder / CARD, text)


def card(
    title: str,
    *,
    about: str,
    facts: Sequence[str],
    code: Sequence[str],
    tags: Sequence[str],
    license: str | None = None,
    provenance: Mapping[str, Any] | None = None,
    caption: str | None = None,
) -> str:
    """The text of a card.

    Arguments:
        about, facts: what the model is: a sentence, and lines of Markdown.
        code: lines of Python that load it.
        license: the hub's identifier; that of the provenance, if it has one, unless given.
        provenance: what stands in provenance.json. It may come from elsewhere: what is no plain value is left out.
        caption: of the picture, card.jpg; None: there is none.

    Raises ValueError for a licence that is no identifier.
    """
    check_license(license)
    told = provenance or {}
    stated = license or told.get("license")
    stated = stated if isinstance(stated, str) and LICENSE.fullmatch(stated) else None
    text = ["---", *([f"license: {stated}"] if stated else []), "library_name: pmrf-blocks"]
    text += ["pipeline_tag: image-to-image", f"tags: [{', '.join(tags)}]", "---", f"# {title}", "", about, "", *facts]
    if caption:
        text += ["", f"![Before and after]({PICTURE})", "", f"<sub>{caption}</sub>"]
    text += ["", "## Load it", "", "```python", *code, "```", "", "## Training", "", *training(told)]
    scores = validation(told)
    text += ["", "## Validation", "", *scores] if scores else []
    text += ["", "## Licence", ""]
    text.append(f"The weights are under the licence `{stated}`." if stated else "None was stated: ask who shares them.")
    return "\n".join(text) + "\n"


def stages_of(told: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    stages = told.get("stages")
    found = stages.items() if isinstance(stages, Mapping) else ()
    return {cell(name): known for name, known in found if isinstance(known, Mapping)}


def training(told: Mapping[str, Any]) -> list[str]:
    """What each stage was trained on, for how long and by what."""
    text = [f"Images: {cell(told['data'])}.", ""] if isinstance(told.get("data"), str) else []
    stages = stages_of(told)
    if not stages:
        return [*text, "Nothing was recorded of it."]
    titles = {"batch_size": "batch", "revision": "commit"}
    rows = []
    for name, known in stages.items():
        if isinstance(known.get("published"), str):
            rows.append([name, f"published: {cell(known['published'])}", *[""] * (len(COLUMNS) - 1)])
        else:
            rows.append([name, *(cell(known.get(column)) for column in COLUMNS)])
    return [*text, *table(["stage", *(titles.get(column, column) for column in COLUMNS)], rows)]


def validation(told: Mapping[str, Any]) -> list[str]:
    """The last validation scores of each stage; nothing where there are none."""
    rows = [
        [name, f"`{cell(score)}`", f"{value:.4g}"]
        for name, known in stages_of(told).items()
        if isinstance(known.get("validation"), Mapping)
        for score, value in known["validation"].items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    if not rows:
        return []
    return ["The last scores of each stage on its held-out images.", "", *table(["stage", "score", "value"], rows)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def cell(value: Any) -> str:
    """A plain value as a table shows it; '' for what is none. Nothing in it ends the cell or is HTML."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Mapping)):
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{cell(name)} {cell(own)}" for name, own in value.items() if isinstance(own, str))
    text = " ".join(str(value).split())[:300]
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def import_of(path: str, kind: str) -> tuple[str, str]:
    """(line that imports a class, its name), of its name in CLASSES or of its import path."""
    module, _, name = path.rpartition(":")
    return f"from {module or CLASSES[kind][path]} import {name or path}", name or path


def own_modules(value: Any) -> Iterator[str]:
    """Modules outside this package that a configuration names classes and functions of, by path or as they are."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from own_modules(item)
    path = import_path(value) if callable(value) else value
    if is_path(path) and not path.startswith(f"{PACKAGE}."):
        yield path.partition(":")[0]


def parameters_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def first_paragraph(kind: type) -> str:
    """Of a class's documentation, in one line."""
    return " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())


def network_card(network: nn.Module, place: Place, *, license: str | None = None) -> str:
    """The card of one network alone."""
    kind, config = plain_class(type(network)), getattr(network, "config", {})
    line, name = import_of(name_of("network", kind, what="the network"), "network")
    shown = {key: import_path(value) if callable(value) else value for key, value in config.items()}
    trusted = sorted({*own_modules(config), *([] if kind.__module__.startswith(f"{PACKAGE}.") else [kind.__module__])})
    facts = [f"{parameters_of(network):,} parameters.", ""]
    facts += table(["argument", "value"], [[key, f"`{value!r}`".replace("|", "\\|")] for key, value in shown.items()])
    return card(
        place.title,
        about=f"A `{name}` of the Python package pmrf_blocks. {first_paragraph(kind)}",
        facts=facts if shown else facts[:1],
        code=[line, "", f"network = {name}.from_pretrained({place.arguments(trusted)})"],
        tags=["image-restoration", name.lower()],
        license=license,
    )
