"""The folded form of nearest x2 and convolution against the plain one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pmrf_blocks.autoencoders.resize import NearestUpsample

TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, n) for n in (2, 5, 9, 9))), channels=st.integers(1, 5),
    dtype=st.sampled_from(list(TOLERANCES)), last=st.booleans(), bias=st.booleans(),
)  # fmt: skip
def test_without_gradients_the_result_is_the_same(shape, channels, dtype, last, bias):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = NearestUpsample(shape[1], channels).to(dtype)
        x = torch.randn(shape, dtype=dtype)
    if not bias:
        layer.conv.bias = None
    if last:
        x = x.to(memory_format=torch.channels_last)
    plain = layer(x)  # gradients are recorded: not folded
    with torch.no_grad():
        folded = layer(x)
    assert plain.requires_grad
    assert folded.dtype == dtype
    assert folded.is_contiguous(memory_format=torch.channels_last) or not last
    torch.testing.assert_close(folded, plain, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda_it_is_not_folded():
    layer, x = NearestUpsample(3, 4).cuda(), torch.randn(1, 3, 5, 6, device="cuda")
    with torch.no_grad():
        torch.testing.assert_close(layer(x), layer.conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3)))
