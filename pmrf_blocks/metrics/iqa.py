"""Perceptual and no-reference metrics of pyiqa, an optional package that fetches their weights itself."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from importlib import import_module

import torch
from torch import Tensor

from pmrf_blocks.metrics.checks import to_double
from pmrf_blocks.metrics.weights import Unavailable, locate

# Our name: pyiqa's name, and whether it takes a reference.
PYIQA = {
    "lpips": ("lpips", True),
    "lpips_vgg": ("lpips-vgg", True),
    "dists": ("dists", True),
    "niqe": ("niqe", False),
    "clip_iqa": ("clipiqa", False),
    "musiq": ("musiq", False),
    "q_align": ("qalign", False),
}


class IQAMetric:
    """One metric of pyiqa: images (B, 3, H, W) in [0, 1], and a reference where it takes one, to (B,).

    Weights given as `weights[name]` go to pyiqa as its `pretrained_model_path`; else pyiqa fetches its own. Unavailable
    where it is not installed, or cannot fetch them. What pyiqa prints goes to stderr, as stdout is for numbers.
    `identity` names the metric and pyiqa's version.
    """

    def __init__(self, name: str, *, weights: Mapping[str, str], device: torch.device) -> None:
        if name not in PYIQA:
            raise ValueError(f"name must be one of {', '.join(map(repr, PYIQA))}; got {name!r}")
        self.theirs, self.paired = PYIQA[name]
        try:
            with redirect_stdout(sys.stderr):
                pyiqa = import_module("pyiqa")
        except Exception as error:  # it imports a dozen packages, any of which may not fit the others
            why = "" if isinstance(error, ModuleNotFoundError) and error.name == "pyiqa" else f" ({_line(error)})"
            raise Unavailable(f"install pmrf-blocks[iqa]{why}") from None
        options = {"pretrained_model_path": str(locate(name, weights, ""))} if name in weights else {}
        try:
            with redirect_stdout(sys.stderr):
                self.metric = pyiqa.create_metric(self.theirs, device=device, **options)
        except Exception as error:  # its own errors, the network's, and those of damaged files
            raise Unavailable(
                f"pyiqa could not build {self.theirs} ({_line(error)}); let it fetch its weights once, "
                f"or give their file (--weights {name}=FILE)"
            ) from None
        self.identity = f"pyiqa {getattr(pyiqa, '__version__', 'of unknown version')}, {self.theirs}"

    @torch.no_grad()
    def __call__(self, x: Tensor, reference: Tensor | None = None) -> Tensor:
        with redirect_stdout(sys.stderr):
            values = [  # one image at a time: some of its metrics average over a batch, some take one size alone
                self.metric(x[i : i + 1], reference[i : i + 1]) if reference is not None else self.metric(x[i : i + 1])
                for i in range(len(x))
            ]
        numbers = [to_double(torch.as_tensor(value)).mean() for value in values]
        return torch.stack(numbers) if numbers else to_double(x.new_zeros(0))


def _line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    line = f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__
    return f"{line}; pip install 'setuptools<81', the last with pkg_resources" if "pkg_resources" in line else line
