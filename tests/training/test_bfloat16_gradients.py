"""Under autocast to bfloat16 every parameter's gradient is what it is in float32, but for rounding."""

import pytest
import torch
import torch.nn.functional as F

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.estimators import SwinIR, UNet
from pmrf_blocks.transformers import HourglassTransformer, Level

LEVELS = (Level(32, 1, kernel_size=5, head_dim=16), Level(32, 1, attention="global", head_dim=16))
NETWORKS = {
    "unet": lambda: UNet(widths=(16, 24), blocks=(1, 1), unshuffle=1),
    "sim-vae": lambda: SimVAE(4, channels=(16, 24), blocks_per_level=1, middle_blocks=1),
    "residual sim-vae": lambda: SimVAE(4, channels=(16, 24), blocks_per_level=1, middle_blocks=1, residual=True),
    "swinir": lambda: SwinIR(embed_dim=12, depths=(1,), num_heads=(2,), window_size=8, unshuffle=2),
    "hourglass": lambda: HourglassTransformer(in_channels=3, patch_size=2, mapping_width=32, levels=LEVELS),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_as_large_as_in_float32(name):
    torch.manual_seed(0)
    network = NETWORKS[name]().train()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)  # some start at zero
    x = F.interpolate(torch.rand(4, 3, 16, 16), scale_factor=8.0, mode="bicubic")  # many pixels, smooth
    arguments = (x, torch.full((4,), 0.3)) if name == "hourglass" else (x,)
    gradients = []
    for half in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            y = network(*arguments)
        (y.float() - x + 0.1).square().mean().backward()
        gradients.append({own: p.grad for own, p in network.named_parameters() if p.grad is not None})
    largest = max(float(gradient.norm()) for gradient in gradients[0].values())
    for own, exact in gradients[0].items():
        if float(exact.norm()) > 1e-4 * largest:  # the rest is rounding
            ratio = float(gradients[1][own].norm() / exact.norm())
            assert 0.9 < ratio < 1.1, (own, ratio)
