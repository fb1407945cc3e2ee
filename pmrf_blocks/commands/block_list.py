"""What can be named: the variants of every block, each with a line of what it is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from pmrf_blocks.attention.backends import BACKENDS
from pmrf_blocks.attention.scaled_dot_product import GLOBAL_BACKENDS
from pmrf_blocks.autoencoders.blocks import BLOCKS
from pmrf_blocks.autoencoders.design import MIDDLES, RESIZES
from pmrf_blocks.autoencoders.norms import NORMS
from pmrf_blocks.autoencoders.resize import UPSAMPLERS
from pmrf_blocks.degradations import PIPELINES
from pmrf_blocks.faces import DETECTORS
from pmrf_blocks.flow import DISTRIBUTIONS, find_solver, list_solvers
from pmrf_blocks.metrics import METRICS, PROTOCOLS
from pmrf_blocks.registry import CLASSES
from pmrf_blocks.transformers import PRESETS


def list_blocks() -> dict[str, dict[str, str]]:
    """Titles, names under each, and a line of what each is; read anew at each call, so one's own entries are there."""
    return {
        "networks (load and save by name)": _classes("network"),
        "pipelines": _classes("pipeline"),
        "spaces and sources of pipelines": _classes("part"),
        "SimVAE(block=)": _described(BLOCKS),
        "SimVAE(norm=)": _described(NORMS),
        "SimVAE(middle=)": _plain(MIDDLES),
        "SimVAE(resize=)": _plain(RESIZES),
        "SimVAE(upsample=)": _described(UPSAMPLERS),
        "transformers by name": _described(PRESETS),
        "neighborhood_attention_2d(backend=)": _plain(BACKENDS),
        "global_attention(backend=)": _plain(GLOBAL_BACKENDS),
        "integrate(solver=)": {name: _order(find_solver(name)) for name in list_solvers()},
        "sample_time(distribution=)": _plain(DISTRIBUTIONS),
        "build_degradation()": _described(PIPELINES),
        "metrics": {name: f"{metric.label}, {metric.better} is better" for name, metric in METRICS.items()},
        "protocols of metrics": {name: ", ".join(protocol.metrics) for name, protocol in PROTOCOLS.items()},
        "face detectors": _plain(DETECTORS),
    }


def _classes(kind: str) -> dict[str, str]:
    return _described({name: getattr(import_module(module), name) for name, module in CLASSES[kind].items()})


def _described(table: Mapping[str, Any]) -> dict[str, str]:
    """The first sentence of each entry's own docstring."""
    paragraphs = {name: (inspect.getdoc(value) or "").partition("\n\n")[0] for name, value in table.items()}
    return {name: re.split(r"(?<=\.) ", " ".join(text.split()))[0] for name, text in paragraphs.items()}


def _plain(names: Iterable[str]) -> dict[str, str]:
    return dict.fromkeys(names, "")


def _order(solver: Any) -> str:
    return f"order {solver.order}" if hasattr(solver, "order") else "adaptive"
