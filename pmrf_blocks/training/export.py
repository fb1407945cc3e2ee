"""The network that a run ends with, in a folder of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from pmrf_blocks.whole_files import flush, flush_tree, write_bytes


def export(network: nn.Module, folder: Path) -> None:
    """Write the network as it is into `folder`, which is replaced when everything is written.

    One that inherits Pretrained is saved with its configuration, another one as model.safetensors alone.
    """
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    saver: Any = getattr(network, "save_pretrained", None)
    if saver is not None:
        saver(fresh)
    else:
        weights = {key: value.contiguous() for key, value in network.state_dict().items()}
        write_bytes(fresh / "model.safetensors", save(weights))
    flush_tree(fresh)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    flush(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
