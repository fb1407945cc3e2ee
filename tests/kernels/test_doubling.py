"""The folded form of nearest x2 and convolution against the plain one."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pmrf_blocks.autoencoders.resize import NearestUpsample
from pmrf_blocks.kernels import optimize
from pmrf_blocks.kernels.doubling import convolve_doubled, folds

TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, n) for n in (2, 5, 9, 9))), channels=st.integers(1, 5),
    dtype=st.sampled_from(list(TOLERANCES)), last=st.booleans(), bias=st.booleans(),
)  # fmt: skip
def test_the_folded_form_is_the_plain_one(shape, channels, dtype, last, bias):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = NearestUpsample(shape[1], channels).to(dtype)
        x = torch.randn(shape, dtype=dtype)
    if not bias:
        layer.conv.bias = None
    if last:
        x = x.to(memory_format=torch.channels_last)
    with torch.no_grad():
        plain, folded = layer.conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3)), convolve_doubled(x, layer.conv)
    assert folded.dtype == dtype
    assert folded.is_contiguous(memory_format=torch.channels_last) or not last
    torch.testing.assert_close(folded, plain, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])


def test_large_maps_of_plain_convolutions_are_folded_without_gradients(monkeypatch):
    calls = []
    monkeypatch.setattr("pmrf_blocks.kernels.autoencoders.convolve_doubled", lambda *given: calls.append(given))
    layer, x = NearestUpsample(2, 3), torch.randn(1, 2, 32, 32)
    with torch.no_grad():
        layer(x)
    optimize(layer)
    layer(x)
    assert not calls
    with torch.no_grad():
        layer(x[..., :8, :8])
        assert not calls
        layer(x)
        assert len(calls) == 1


def test_what_wraps_or_hooks_the_convolution_is_heeded():
    x = torch.randn(1, 2, 32, 32)
    layer = NearestUpsample(2, 3)
    assert folds(x, layer.conv)
    assert not folds(x.to("meta"), layer.conv)
    layer.conv.register_forward_hook(lambda *_: None)
    assert not folds(x, layer.conv)
    assert not folds(x, torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv2d(2, 3, 3, padding=1)))
    assert not folds(x, torch.nn.Conv2d(2, 3, 5, padding=2))


def test_weights_under_vmap():
    x = torch.randn(2, 1, 2, 24, 24)
    layer = NearestUpsample(2, 3)
    optimize(layer)
    with torch.no_grad():
        both = torch.func.vmap(layer)(x)
        torch.testing.assert_close(both, torch.stack([layer(one) for one in x]), rtol=1e-5, atol=1e-5)
