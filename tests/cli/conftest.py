"""Commands with networks that change nothing, so that what they read can be seen in what they write."""

import pytest
import torch

from pmrf_blocks.restoration import Restored


class Unchanged:
    """A restorer that gives its input back."""

    size, steps, device = 16, 1, torch.device("cpu")

    def restore(self, images, **options):
        return Restored(images, images, 1)


class NoFaces:
    """A detector that finds nothing."""

    looks_again, smallest, largest = False, 1, 1 << 20

    def __call__(self, image):
        return []


@pytest.fixture
def unchanged(monkeypatch):
    from pmrf_blocks.commands import degrade, restore

    monkeypatch.setattr(restore, "load_restorer", lambda model, **options: Unchanged())
    monkeypatch.setattr(restore, "build_detector", lambda name: NoFaces())
    monkeypatch.setattr(degrade, "build_degradation", lambda name: lambda x, generator: (x, x))
    return Unchanged
