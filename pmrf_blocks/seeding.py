"""Seeds derived from what they are for, so that no result depends on the order in which things are drawn."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed that is a pure function of `parts`, such as (run seed, 'data', step, rank)."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def derive_generator(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on `device`, seeded by derive_seed(*parts)."""
    return torch.Generator(device).manual_seed(derive_seed(*parts))
