"""Features that forward hooks keep in inference are what the layers made, though fast layers reuse memory there."""

import pytest
import torch

from pmrf_blocks.kernels import optimize
from pmrf_blocks.kernels.reuse import is_plain, may_reuse
from pmrf_blocks.transformers import HourglassTransformer, Level

FORMS = {"pmrf": {"patch_size": 2}, "latent": {"cosine": False, "depthwise": True, "split": "conv", "patch_size": 1}}
FORMS["release"] = {**FORMS["latent"], "merge": "conv", "patches": "conv", "bias": True, "zero_output": False}


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
    assert len(optimize(network).swapped) > 20

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


@pytest.mark.parametrize("form", FORMS)
def test_fast_layers_give_what_plain_ones_give(form, generator):
    plain, fast = network_of(form), network_of(form)
    assert len(optimize(fast).swapped) > 20
    x = torch.rand(2, 3, 16, 16, generator=generator)
    for dtype in (torch.float32, torch.bfloat16):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            close = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 5e-2, "atol": 5e-2}
            expected = plain(x, 0.5)
            torch.testing.assert_close(
                fast(x, 0.5), expected, **{**close, "atol": close["atol"] * expected.std().item()}
            )
    for network in (plain, fast):
        network(x, 0.5).square().mean().backward()
    for own, expected in zip(fast.parameters(), plain.parameters()):
        if expected.grad is not None:
            assert torch.equal(own.grad, expected.grad)


@pytest.mark.parametrize("form", FORMS)
def test_fast_layers_under_torch_func(form, generator):
    plain, fast = network_of(form), network_of(form)
    optimize(fast)
    x, direction = torch.rand(2, 2, 3, 8, 8, generator=generator)
    with torch.no_grad():
        expected = torch.func.jvp(lambda x: plain(x, 0.5), (x,), (direction,))
        torch.testing.assert_close(torch.func.jvp(lambda x: fast(x, 0.5), (x,), (direction,)), expected)
        mapped = torch.func.vmap(lambda x: fast(x[None], 0.5)[0])(x)
        torch.testing.assert_close(mapped, plain(x, 0.5), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_compiled_fast_layers_keep_what_hooks_saw(form, generator):
    fast, kept = network_of(form), []
    layer = fast.mid_level[0].ff
    x, cond = torch.rand(1, 4, 4, 48, generator=generator), torch.rand(1, 16, generator=generator)
    with torch.no_grad():
        expected = layer(x, cond)
        optimize(fast)
        layer.up_proj.register_forward_hook(lambda _, __, y: kept.append((y, y.clone())))
        torch.testing.assert_close(torch.compile(layer, backend="eager")(x, cond), expected, rtol=1e-4, atol=1e-4)
    assert kept
    assert all(torch.equal(*both) for both in kept)


class Doubled(torch.nn.Linear):
    """A layer of somebody's own, which gives the same memory at every call."""

    def forward(self, x):
        self.kept = getattr(self, "kept", None)
        self.kept = super().forward(x) if self.kept is None else self.kept
        return self.kept


@pytest.mark.parametrize("name", ["ff.up_proj", "ff.down_proj", "self_attn.qkv_proj", "self_attn.out_proj"])
def test_memory_of_unknown_layers_is_not_reused(name, generator):
    network = network_of("pmrf")
    layer = network.mid_level[0].get_submodule(name)
    layer.__class__ = Doubled
    optimize(network)
    x = torch.rand(1, 3, 16, 16, generator=generator)
    with torch.no_grad():
        first = network(x, 0.5)
        kept = layer.kept.clone()
        torch.testing.assert_close(network(x, 0.5), first)
        assert torch.equal(layer.kept, kept)
