"""Seeds derived from what they are for, so that no result depends on the order in which things are drawn."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

Generators = torch.Generator | Sequence[torch.Generator] | None


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed that is a pure function of `parts`, such as (run seed, 'data', step, rank)."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def derive_generator(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on `device`, seeded by derive_seed(*parts)."""
    return torch.Generator(device).manual_seed(derive_seed(*parts))


def normal_like(x: Tensor, generator: torch.Generator | Sequence[torch.Generator]) -> Tensor:
    """Standard normal numbers of x's shape, dtype and device.

    Arguments:
        generator: one for the whole batch, or one an image: what an image draws then does not depend on its batch. The
            numbers are drawn in float32 on the generator's device: with one on the CPU they are the same everywhere.

    Raises ValueError where the generators are not as many as the images.
    """
    if isinstance(generator, torch.Generator):
        return torch.randn(x.shape, generator=generator, device=generator.device).to(x)
    if len(generator) != len(x):
        raise ValueError(f"generators must be one, or one an image; got {len(generator)} for {len(x)} images")
    rows = [torch.randn(x.shape[1:], generator=own, device=own.device) for own in generator]
    return torch.stack(rows).to(x)


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
