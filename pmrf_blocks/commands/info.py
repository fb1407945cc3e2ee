"""pmrf-blocks info"""

from __future__ import annotations

import argparse
import json
import os
import platform
from typing import Any

import torch

from pmrf_blocks import __version__
from pmrf_blocks.attention import available_backends
from pmrf_blocks.commands.block_list import list_blocks
from pmrf_blocks.commands.optional_packages import optional_packages
from pmrf_blocks.pretrained import WeightsError, read_json
from pmrf_blocks.restoration import BUNDLED
from pmrf_blocks.training.environment import processor_name


def gather() -> dict[str, Any]:
    """What `info` shows, as plain JSON types."""
    devices = {"cpu": f"{processor_name()}, {os.cpu_count()} cores"}
    for index in range(torch.cuda.device_count()):
        devices[f"cuda:{index}"] = torch.cuda.get_device_name(index)
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    try:
        model: dict[str, Any] = {"folder": str(BUNDLED), **read_json(BUNDLED / "provenance.json")}
    except WeightsError as error:
        model = {"error": str(error)}
    return {
        "versions": {"pmrf-blocks": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "devices": devices,
        "attention backends": {name: reason or "available" for name, reason in available_backends().items()},
        "optional packages": optional_packages(),
        "bundled model": model,
    }


def run(arguments: argparse.Namespace) -> int:
    facts: dict[str, Any] = list_blocks() if arguments.blocks else gather()
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    for title, section in facts.items():
        print(title)
        _show(_in_words(section) if title == "optional packages" else section, indent=2)
    return 0


def _in_words(packages: dict[str, dict[str, str | None]]) -> dict[str, str]:
    def state(one: dict[str, str | None]) -> str:
        return one["version"] or f"not installed: pip install pmrf-blocks[{one['extra']}]"

    return {name: f"{state(one)} - {one['gives']}" for name, one in packages.items()}


def _show(section: dict[str, Any], indent: int) -> None:
    """Aligned names and values; a value that is itself a section follows on one line."""
    width = max(map(len, section))
    for name, value in section.items():
        if isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values()):
            print(f"{'':{indent}}{name}")
            _show(value, indent + 2)
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{key} {_short(inner)}" for key, inner in value.items())
        print(f"{'':{indent}}{name:{width}}  {value}".rstrip())


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(inner)}" for key, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
