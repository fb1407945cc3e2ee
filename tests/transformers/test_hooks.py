"""Features that forward hooks keep in inference are what the layers made, though layers reuse memory there."""

import pytest
import torch

from pmrf_blocks.kernels import is_plain, may_reuse
from pmrf_blocks.transformers import HourglassTransformer, Level

FORMS = {"pmrf": {"patch_size": 2}, "latent": {"cosine": False, "depthwise": True, "split": "conv", "patch_size": 1}}


def network_of(form):
    levels = Level(32, 1, kernel_size=3, head_dim=16), Level(48, 1, "global", head_dim=16)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = HourglassTransformer(in_channels=3, levels=levels, mapping_width=16, mapping_depth=1, **FORMS[form])
        for name, parameter in network.named_parameters():  # zero-initialised layers would hide errors
            torch.nn.init.normal_(parameter, std=0.2)
            if name.endswith("self_attn.scale"):
                parameter.data.abs_().add_(1.0)
    return network.eval()


def kept_features(network, x, register):
    kept = []

    def keep(module, inputs, outputs):
        kept.extend(
            (y, y.clone()) for y in (outputs if isinstance(outputs, tuple) else (outputs,)) if torch.is_tensor(y)
        )

    handles = register(keep)
    with torch.no_grad():
        output = network(x, 0.5)
    for handle in handles:
        handle.remove()
    return kept, output


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_kept_features_are_not_overwritten(form, everywhere, generator):
    network = network_of(form)
    x = torch.rand(1, 3, 16, 16, generator=generator)
    with torch.no_grad():
        expected = network(x, 0.5)

    def register(keep):
        if everywhere:
            return [torch.nn.modules.module.register_module_forward_hook(keep)]
        return [module.register_forward_hook(keep) for module in network.modules()]

    kept, output = kept_features(network, x, register)
    assert len(kept) > 30
    assert all(torch.equal(*both) for both in kept)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)


def test_memory_is_reused_without_gradients_and_hooks_alone():
    layer = torch.nn.Sequential(torch.nn.Linear(2, 2))
    assert not may_reuse(layer)
    with torch.no_grad():
        assert may_reuse(layer)
        handle = layer[0].register_forward_pre_hook(lambda *_: None)
        assert not may_reuse(layer)
        assert not is_plain(layer)
        handle.remove()
        assert may_reuse(layer)
