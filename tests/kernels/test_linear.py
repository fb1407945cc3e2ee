"""Linear layers by oneDNN against the float64 product; whatever else is asked for goes torch's own way."""

from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pmrf_blocks.kernels import linear
from pmrf_blocks.kernels.linear import FastLinear, halves

pytestmark = pytest.mark.skipif(not linear.onednn_available(), reason="torch has no oneDNN operators here")


def layer(width=64, out=256, *, bias=True) -> FastLinear:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FastLinear(width, out, bias=bias)


def tokens(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def taken(call):
    """The result of call(), and whether oneDNN was asked."""
    with patch.object(
        linear.torch.ops.mkldnn, "_linear_pointwise", wraps=linear.torch.ops.mkldnn._linear_pointwise
    ) as op:
        return call(), op.called


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(1, 70), st.integers(1, 70), st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_equals_the_product(sizes, width, out, bias, transposed):
    own, x = layer(width, out, bias=bias), tokens(*sizes, width)
    x = x.transpose(0, -2) if transposed else x
    with torch.no_grad(), patch.object(linear, "LEAST", 1):
        got, asked = taken(lambda: own(x))
        want = nn.functional.linear(x.double(), own.weight.double(), None if own.bias is None else own.bias.double())
    assert asked
    assert got.shape == want.shape
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-5)


def test_what_oneDNN_is_not_asked_for():
    own, x = layer(), tokens(1024, 64)
    with torch.no_grad():
        assert taken(lambda: own(x))[1]
        assert not taken(lambda: own(x[:64]))[1]  # too little
        assert not taken(lambda: layer().double()(x.double()))[1]
        with torch.autocast("cpu", torch.bfloat16):
            assert taken(lambda: own(x))[0].dtype == torch.bfloat16
            assert not taken(lambda: own(x))[1]
        mapped, asked = taken(lambda: torch.vmap(own)(x.view(2, 512, 64)))
        assert not asked
        torch.testing.assert_close(mapped.view(1024, 256), own(x), rtol=1e-5, atol=1e-5)
        assert not taken(lambda: torch.func.jvp(own, (x,), (x,)))[1]
        compiled, asked = taken(lambda: torch.compile(own, backend="eager")(x))
        assert not asked
        torch.testing.assert_close(compiled, own(x), rtol=1e-5, atol=1e-5)
    out, asked = taken(lambda: own(x))
    assert not asked
    assert out.requires_grad
    assert set(own.state_dict()) == set(nn.Linear(2, 2).state_dict())


@given(st.integers(1, 20), st.integers(1, 20), st.booleans(), st.sampled_from(["bf16", "no"]))
def test_halves_are_those_of_the_whole(width, half, bias, way):
    own, x = layer(width, 2 * half, bias=bias), tokens(5, width)
    want = own(x).detach()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=way == "bf16"):
        got = halves(own, x)
    assert [part.shape[-1] for part in got] == [half, half]
    close = {"rtol": 3e-2, "atol": 3e-2} if way == "bf16" else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(torch.cat(got, -1).float(), want, **close)
