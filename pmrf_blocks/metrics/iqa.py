"""Perceptual and no-reference metrics of pyiqa, an optional package that fetches their weights itself."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from pmrf_blocks.metrics.checks import to_double
from pmrf_blocks.metrics.weights import Unavailable, file_digest, locate
from pmrf_blocks.npz_files import read_npz

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
NIQE_BLOCK = 96  # pixels a side; NIQE compares the statistics of such blocks, of which it needs two
NIQE_FEATURES = 36


class IQAMetric:
    """One metric of pyiqa: images (B, 3, H, W) in [0, 1], and a reference where it takes one, to (B,).

    Weights given as `weights[name]` go to pyiqa as its `pretrained_model_path`; else pyiqa fetches its own. NIQE's may
    be the niqe_pris_params.npz that basicsr has, too. Unavailable where pyiqa is not installed, or cannot fetch them.
    What pyiqa prints goes to stderr, as stdout is for numbers. `identity` names the metric, pyiqa's version, and the
    digest of a file that was given.
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
        given = locate(name, weights, "") if name in weights else None
        try:
            with redirect_stdout(sys.stderr), _as_pyiqa_reads(name, given) as options:
                self.metric = pyiqa.create_metric(self.theirs, device=device, **options)
        except Exception as error:  # its own errors, the network's, and those of damaged files
            raise Unavailable(
                f"pyiqa could not build {self.theirs} ({_line(error)}); let it fetch its weights once, "
                f"or give their file (--weights {name}=FILE)"
            ) from None
        self.identity = f"pyiqa {getattr(pyiqa, '__version__', 'of unknown version')}, {self.theirs}"
        if given is not None:
            self.identity += f", weights {file_digest(given)}"

    @torch.no_grad()
    def __call__(self, x: Tensor, reference: Tensor | None = None) -> Tensor:
        with redirect_stdout(sys.stderr):
            values = [  # one image at a time: some of its metrics average over a batch, some take one size alone
                self.metric(x[i : i + 1], reference[i : i + 1]) if reference is not None else self.metric(x[i : i + 1])
                for i in range(len(x))
            ]
        numbers = [to_double(torch.as_tensor(value)).mean() for value in values]
        return torch.stack(numbers) if numbers else to_double(x.new_zeros(0))


def niqe_blocks(height: int, width: int) -> int:
    """How many blocks NIQE sees in an image of so many pixels; fewer than two have no covariance."""
    return (height // NIQE_BLOCK) * (width // NIQE_BLOCK)


@contextmanager
def _as_pyiqa_reads(name: str, path: Path | None) -> Iterator[dict[str, str]]:
    """What create_metric() is to be told of a weight file: its path, or that of a copy in the format it reads."""
    if path is None:
        yield {}
    elif name != "niqe" or path.suffix != ".npz":
        yield {"pretrained_model_path": str(path)}
    else:
        from scipy.io import savemat  # pyiqa's own reader is scipy's

        arrays = read_npz(path)
        mean, covariance = arrays.get("mu_pris_param"), arrays.get("cov_pris_param")
        if mean is None or covariance is None:
            raise ValueError(f"{path} has no mu_pris_param and cov_pris_param")
        if mean.size != NIQE_FEATURES or covariance.shape != (NIQE_FEATURES, NIQE_FEATURES):
            raise ValueError(f"{path} is not of NIQE's {NIQE_FEATURES} features")
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "niqe.mat"
            savemat(copy, {"mu_prisparam": mean.reshape(1, -1), "cov_prisparam": covariance})
            yield {"pretrained_model_path": str(copy)}


def _line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    line = f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__
    return f"{line}; pip install 'setuptools<81', the last with pkg_resources" if "pkg_resources" in line else line
