"""Global random numbers inside a step, as a pure function of what the step is: nothing to save, nothing to restore."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from pmrf_blocks.seeding import derive_seed


@contextmanager
def seeded(*parts: int | str, device: torch.device) -> Iterator[None]:
    """Within the block Python's, NumPy's and torch's global generators start from derive_seed(*parts); after it
    they are as they were before.

    Blocks of this package take their generator; this is for those of others, dropout for one, so that their draws
    are exact after a resume too.
    """
    seed = derive_seed(*parts)
    accelerator = None if device.type == "cpu" else torch.get_device_module(device.type)
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    other = None if accelerator is None else accelerator.get_rng_state()
    try:
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.default_generator.manual_seed(seed)
        if accelerator is not None:
            accelerator.manual_seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if accelerator is not None:
            accelerator.set_rng_state(other)
