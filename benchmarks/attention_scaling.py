"""Our neighborhood attention as pixels grow: time and memory of a pixel should stay the same."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.attention import backend, inputs, need
from benchmarks.comparison import Comparison, Goal, Settings


def comparisons(settings: Settings) -> Iterator[Comparison]:
    sizes, kernel = ((24, 20), 5) if settings.tiny else ((256, 128, 64, 32), 7)

    def label(size: int) -> str:
        return f"{size}x{size}"

    for backward in (False, True):
        needs = {label(size): need(size, kernel, torch.float32, backward=backward) for size in sizes}
        yield Comparison(
            f"neighborhood attention, {'forward + backward' if backward else 'forward'}, per pixel",
            {label(size): backend("auto", inputs(size, settings, torch.float32), kernel, backward=backward,
                                  settings=settings) for size in sizes},
            goals=(Goal(label(sizes[-1]), 1 / 1.2), Goal(label(sizes[1]), 1 / 1.2, "memory")),
            tolerance=None,
            unequal="the inputs have different sizes",
            units={label(size): size**2 for size in sizes},
            need=needs[label(sizes[0])],
            needs=needs,
        )  # fmt: skip
