"""Networks built without memory and within bounds, to see what a stranger's configuration describes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules import module as registry

Built = TypeVar("Built", bound=nn.Module)

LARGEST_BUFFERS = 2**28  # bytes of tables that a network computes and does not store


def plan(make: Callable[[], Built], tensors: int) -> Built:
    """What `make` gives, on the meta device: shapes without memory.

    `tensors` is how many the weights' file holds. ValueError where the network has many times more parameters or
    layers (checked while it grows: a depth of a million ends at once), or computes tables of more than 256 MiB.
    """
    with torch.device("meta"), bounded(parameters=2 * tensors + 100, layers=20 * tensors + 1000):
        network = make()
    stored = network.state_dict()
    computed = sum(one.numel() * one.element_size() for name, one in network.named_buffers() if name not in stored)
    if computed > LARGEST_BUFFERS:
        raise ValueError(f"it computes tables of {computed} bytes, more than {LARGEST_BUFFERS}")
    return network


@contextlib.contextmanager
def bounded(*, parameters: int, layers: int) -> Iterator[None]:
    """Within the block, ValueError in the constructor that makes this thread's modules exceed either number."""
    thread, counts = threading.get_ident(), {"parameters": 0, "layers": 0}

    def count(what: str, most: int) -> None:
        if threading.get_ident() == thread:
            counts[what] += 1
            if counts[what] > most:
                raise ValueError(f"it has more than {most} {what}, many times more than the weights are of")

    hooks = (
        registry.register_module_parameter_registration_hook(lambda *entry: count("parameters", parameters)),
        registry.register_module_module_registration_hook(lambda *entry: count("layers", layers)),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
