"""The gallery shows every degradation, and its strengths grow."""

import torch

from docs.make.gallery import DEGRADATIONS, strengths
from pmrf_blocks import degradations
from pmrf_blocks.degradations import ControlledDegradation
from pmrf_blocks.metrics import psnr


def test_every_public_degradation_is_shown():
    kinds = {
        name
        for name in degradations.__all__
        if isinstance(kind := getattr(degradations, name), type) and issubclass(kind, torch.nn.Module)
    } - {ControlledDegradation.__name__}
    shown = " ".join(title for title, _ in strengths(torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))))
    assert {name for name in kinds if f"`{name}`" not in shown} == set()


def test_strengths_grow():
    y, x = torch.meshgrid(torch.linspace(0, 1, 128), torch.linspace(0, 1, 128), indexing="ij")
    image = torch.stack([x, y, 0.5 + 0.4 * torch.sin(12 * x) * torch.cos(9 * y)])
    for title, row in strengths(image)[: len(DEGRADATIONS)]:
        grows = [float(psnr(shown[None], image[None])) for _, shown in row if shown.shape == image.shape]
        assert grows == sorted(grows, reverse=True), title
