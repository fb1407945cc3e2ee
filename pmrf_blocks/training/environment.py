"""Where a run took place: versions, hardware, revision; kept beside every result."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "numpy", "einops", "safetensors", "huggingface_hub", "accelerate", "pillow", "scikit-image")


def describe_environment() -> dict[str, Any]:
    """Versions, processor with the instructions that torch uses of it, accelerator, threads, git revision (with
    '-dirty' where files differ), command line."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": f"{processor_name()} ({torch.backends.cpu.get_cpu_capability()})",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": device,
        "versions": versions,
        "revision": git_revision(),
        "command": [program(), *sys.argv[1:]],
    }


def program() -> str:
    """What was started, named from the working folder where it lies below: records are given to others, to whom it
    says nothing where a checkout lies."""
    path = Path(sys.argv[0])
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def clean_commit(allow_dirty: bool) -> str:
    """The commit that a page names. ValueError where files differ from it, or none is known, unless `allow_dirty`:
    then the page says so."""
    revision = git_revision()
    if revision is not None and not revision.endswith("-dirty"):
        return revision
    if not allow_dirty:
        state = "no commit is known" if revision is None else f"files differ from commit {revision[:-6]}"
        raise ValueError(f"a page names the commit that made it, but {state}; commit first, or pass --allow-dirty")
    return "unknown" if revision is None else f"{revision[:-6]} with uncommitted changes"


def git_revision() -> str | None:
    """Commit of the checkout that holds this package. A copy without one may be told by PMRF_BLOCKS_REVISION what it is
    a copy of; else None."""
    folder = Path(__file__).resolve().parents[2]
    try:
        run = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("PMRF_BLOCKS_REVISION")
    return run.stdout.strip() or None
