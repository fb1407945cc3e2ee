"""Layers by strips of rows against the same layers at once."""

import copy
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pmrf_blocks.autoencoders import SDVAE, SimVAE
from pmrf_blocks.autoencoders.blocks import BLOCKS
from pmrf_blocks.autoencoders.design import Design
from pmrf_blocks.autoencoders.networks import Decoder
from pmrf_blocks.autoencoders.norms import ChannelLayerNorm
from pmrf_blocks.autoencoders.resize import NearestUpsample
from pmrf_blocks.kernels import optimize, strips
from pmrf_blocks.kernels.autoencoders import InPlaceBlock
from pmrf_blocks.kernels.doubling import convolve_doubled

TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 5e-2}
DTYPES = st.sampled_from(list(TOLERANCES))


def optimized(model):
    optimize(model)
    return model


def with_strips(size, call):
    """call(), every map being large, and a strip of `size` bytes."""
    with patch.multiple(strips, LARGE=1, STRIP=size):
        return call()


@pytest.fixture
def small_strips():
    with patch.multiple(strips, LARGE=1, STRIP=300):
        yield


def seeded(make, shape, dtype):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = make().to(dtype=dtype, memory_format=torch.channels_last)
        for parameter in layer.parameters():  # norms' too
            nn.init.normal_(parameter, std=0.3)
        x = torch.randn(shape, dtype=dtype).to(memory_format=torch.channels_last)
    return layer, x


def close(a, b, dtype):
    assert a.dtype == b.dtype == dtype
    torch.testing.assert_close(a, b, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(list(BLOCKS)), shape=st.tuples(*(st.integers(1, n) for n in (3, 4, 17, 5))),
    size=st.integers(1, 2000), dtype=DTYPES, trimmed=st.booleans(),
)  # fmt: skip
@torch.no_grad()
def test_overwriting_a_block_s_input_gives_its_output_there(kind, shape, size, dtype, trimmed):
    channels = shape[1]
    block, x = seeded(lambda: BLOCKS[kind](channels, channels, ChannelLayerNorm), shape, dtype)
    expected = block(x)
    optimize(block)
    close(block(x), expected, dtype)
    if trimmed:  # as tiles are: with gaps between the rows
        given = torch.zeros(shape[0], shape[2] + 2, shape[3] + 3, channels, dtype=dtype).permute(0, 3, 1, 2)
        given[:, :, 1:-1, 2:-1] = x
        x = given[:, :, 1:-1, 2:-1]
    y = with_strips(size, lambda: block.overwrite(x))
    assert y.data_ptr() == x.data_ptr()
    close(y, expected, dtype)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, n) for n in (3, 4, 17, 5))), channels=st.integers(1, 4), size=st.integers(1, 2000),
    dtype=DTYPES,
)  # fmt: skip
@torch.no_grad()
def test_upsampling_and_convolving_by_strips(shape, channels, size, dtype):
    layer, x = seeded(lambda: NearestUpsample(shape[1], channels), shape, dtype)
    close(with_strips(size, lambda: convolve_doubled(x, layer.conv)), convolve_doubled(x, layer.conv), dtype)
    given = layer.conv.weight, layer.conv.bias
    close(with_strips(size, lambda: strips.convolve(x, *given)), layer.conv(x), dtype)


@given(height=st.integers(1, 60), size=st.integers(1, 5000), overhang=st.integers(0, 4))
def test_strips_are_all_rows_in_order(height, size, overhang):
    spans = with_strips(size, lambda: list(strips.strips(torch.empty(1, 3, height, 5), overhang)))
    assert [row for span in spans for row in range(*span)] == list(range(height))
    assert all(last - first >= overhang for first, last in spans[:-1])


@pytest.mark.parametrize("kind", [SimVAE, SDVAE])
@torch.no_grad()
def test_networks_in_strips(kind, small_strips, monkeypatch):
    vae = kind(4, channels=(8, 16), norm="layer", middle="conv").eval().to(memory_format=torch.channels_last)
    plain = copy.deepcopy(vae)
    optimize(vae)
    x = (2 * torch.rand(2, 3, 24, 40) - 1).to(memory_format=torch.channels_last)
    given = x.clone()
    calls = []
    with monkeypatch.context() as spying:
        overwrite = InPlaceBlock.overwrite
        spying.setattr(InPlaceBlock, "overwrite", lambda *both: calls.append(both) or overwrite(*both))
        z = vae.encode(x).mode()
        kept = z.clone()
        y, tiled = vae.decode(z), vae.decode_tiled(z, tile=6)
    assert len(calls) > 10
    assert torch.equal(x, given)
    assert torch.equal(z, kept)
    monkeypatch.setattr(strips, "LARGE", 2**60)
    close(z, vae.encode(x).mode(), torch.float32)
    close(y, vae.decode(z), torch.float32)
    close(tiled, y, torch.float32)
    close(plain.encode(x).mode(), z, torch.float32)
    close(plain.decode(z), y, torch.float32)


@torch.no_grad()
def test_what_a_hook_keeps_is_not_overwritten(small_strips):
    vae = optimized(SimVAE(4, channels=(8, 16)).eval().to(memory_format=torch.channels_last))
    x = torch.rand(1, 3, 16, 16).to(memory_format=torch.channels_last)
    kept, handles = [], []
    block = vae.encoder.down_blocks[0].resnets[0]
    for layer in (vae.encoder.conv_in, block, block.conv1, block.conv2):
        handles.append(layer.register_forward_hook(lambda module, inputs, y: kept.append((y, y.clone()))))
    hooked = vae.encode(x).mode()
    assert len(kept) == 4
    assert all(torch.equal(*both) for both in kept)
    for handle in handles:
        handle.remove()
    close(hooked, vae.encode(x).mode(), torch.float32)


def test_where_a_block_may_overwrite(small_strips):
    def block(channels=8, norm=ChannelLayerNorm):
        return optimized(BLOCKS["simple"](8, channels, norm))

    x = torch.rand(1, 8, 6, 6).to(memory_format=torch.channels_last)
    plain = block()
    assert not plain.may_overwrite(x)  # a gradient may need it
    with torch.no_grad():
        assert plain.may_overwrite(x)
        assert not plain.may_overwrite(x.contiguous())
        assert not plain.may_overwrite(x.to("meta"))
        assert not block(4).may_overwrite(x)
        assert not block(norm=lambda channels: nn.GroupNorm(4, channels)).may_overwrite(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert not plain.may_overwrite(x)
        plain.norm.register_forward_hook(lambda *_: None)
        assert not plain.may_overwrite(x)
        wrapped = block()
        wrapped.conv1 = nn.utils.parametrizations.weight_norm(wrapped.conv1)
        assert not wrapped.may_overwrite(x)
        wider = block()
        wider.conv2 = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        assert not wider.may_overwrite(x)


class Keeping(nn.Module):
    """Gives memory that it keeps: enlarged, or what it was given."""

    def __init__(self, scale=1):
        super().__init__()
        self.scale, self.kept = scale, []

    def forward(self, x):
        y = nn.functional.interpolate(x, scale_factor=self.scale, mode="nearest") if self.scale > 1 else x
        self.kept.append((y, y.clone()))
        return y


@torch.no_grad()
def test_what_a_layer_of_one_s_own_keeps_is_not_overwritten(small_strips):
    vae = SimVAE(4, channels=(8, 8), upsample=lambda *channels: Keeping(2)).eval()
    block = vae.decoder.up_blocks[1].resnets[1]
    block.conv1, block.conv2 = Keeping(), Keeping()
    optimize(vae.to(memory_format=torch.channels_last))
    vae.decode(torch.rand(1, 4, 8, 8).to(memory_format=torch.channels_last))
    layers = [layer for layer in vae.modules() if isinstance(layer, Keeping)]
    assert len(layers) == 3
    assert all(torch.equal(*layer.kept[0]) for layer in layers)


@torch.no_grad()
def test_what_hooks_on_all_modules_keep_is_not_overwritten(small_strips):
    vae = optimized(SimVAE(4, channels=(8, 16)).eval().to(memory_format=torch.channels_last))
    kept = []
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, inputs, y: kept.append((y, y.clone())) if torch.is_tensor(y) else None
    )
    try:
        vae.encode(torch.rand(1, 3, 16, 16).to(memory_format=torch.channels_last))
    finally:
        handle.remove()
    assert len(kept) > 20
    assert all(torch.equal(*both) for both in kept)


@pytest.mark.filterwarnings("ignore")  # tracing is deprecated, and used
@torch.no_grad()
def test_a_trace_serves_other_sizes(small_strips):
    vae = optimized(SimVAE(4, channels=(8, 16)).eval().to(memory_format=torch.channels_last))
    small, large = (torch.rand(1, 3, size, size).to(memory_format=torch.channels_last) for size in (16, 32))
    traced = torch.jit.trace(vae.encoder, small, check_trace=False)
    close(traced(large), vae.encoder(large), torch.float32)


@torch.no_grad()
def test_small_maps_are_left_whole():
    x = torch.rand(1, 8, 6, 6).to(memory_format=torch.channels_last)
    assert not optimized(BLOCKS["simple"](8, 8, ChannelLayerNorm)).may_overwrite(x)


@settings(max_examples=20, deadline=None)
@given(
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    dilation=st.integers(1, 2),
)
@torch.no_grad()
def test_crops_go_through_any_convolution(kernel, stride, groups, dilation):
    """Only plain 3x3 convolutions are done by strips; all others are what they are."""
    conv = nn.Conv2d(4, 4, kernel, stride=stride, padding=dilation * (kernel // 2), dilation=dilation, groups=groups)
    network = optimized(Decoder(4, 3, (4,), 1, 1, Design()))
    x = torch.randn(1, 4, 12, 14)[..., 1:-1, 2:-1]
    close(with_strips(300, lambda: network.run([conv], x)), conv(x), torch.float32)
