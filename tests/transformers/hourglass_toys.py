"""Small hourglass transformers whose every layer matters."""

import torch

from pmrf_blocks.transformers import HourglassTransformer, Level


def filled(module, seed=0, std=0.2):
    """The module with all parameters random: zero-initialised layers would hide errors. Scales stay positive."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        parameter.data.copy_(std * torch.randn(parameter.shape, generator=generator))
        if name.endswith("self_attn.scale"):
            parameter.data.abs_().add_(1.0)
    return module


def tiny(**changes):
    arguments = {
        "in_channels": 3,
        "levels": (Level(32, 1, kernel_size=3, head_dim=16), Level(48, 1, "global", head_dim=16)),
        "patch_size": 2,
        "mapping_width": 16,
        "mapping_depth": 1,
    }
    return HourglassTransformer(**{**arguments, **changes})


FORMS = {"pmrf": {}, "latent": {"cosine": False, "depthwise": True, "split": "conv", "patch_size": 1}}
FORMS["release"] = {**FORMS["latent"], "merge": "conv", "patches": "conv", "bias": True, "zero_output": False}
