"""Neighborhood attention against a naive loop in float64; rotary embedding against complex numbers."""

import math
from functools import partial

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from natten_rule import seen

from pmrf_blocks.attention import (
    AxialRoPE,
    axial_positions,
    global_attention,
    neighborhood_attention_2d,
)


def qkv(*shape, dtype=torch.float64, seed=0):
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def naive(q, k, v, kernel, dilation, scale, stride=(1, 1), causal=(False, False)):
    """Every query by itself, from NATTEN's definition."""
    out = torch.empty_like(v)
    _, height, width, _, _ = q.shape
    rows_of, columns_of = (partial(seen, *axis) for axis in zip(q.shape[1:3], kernel, stride, dilation, causal))
    for y in range(height):
        for x in range(width):
            rows, columns = rows_of(y), columns_of(x)
            keys = k[:, rows][:, :, columns].flatten(1, 2)
            values = v[:, rows][:, :, columns].flatten(1, 2)
            weights = (torch.einsum("bnd,bknd->bnk", q[:, y, x], keys) * scale).softmax(-1)
            out[:, y, x] = torch.einsum("bnk,bknd->bnd", weights, values)
    return out


@settings(max_examples=15)
@given(data=st.data())
def test_every_backend_equals_the_naive_loop(data):
    height, width = data.draw(st.integers(1, 22)), data.draw(st.integers(1, 22))
    dilation = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))
    kernel = (data.draw(st.integers(1, 8)), data.draw(st.integers(1, 8)))
    assume(kernel[0] * dilation[0] <= height and kernel[1] * dilation[1] <= width)
    q, k, v = qkv(data.draw(st.integers(1, 2)), height, width, data.draw(st.integers(1, 2)), 4)
    expected = naive(q, k, v, kernel, dilation, 0.7)
    for backend in ("tiled", "dense"):
        ours = neighborhood_attention_2d(q, k, v, kernel, dilation=dilation, scale=0.7, backend=backend)
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=15)
@given(data=st.data())
def test_strided_and_causal_windows_and_grouped_heads_equal_the_naive_loop(data):
    size = data.draw(st.integers(1, 22)), data.draw(st.integers(1, 22))
    dilation, kernel = ((data.draw(st.integers(1, top)), data.draw(st.integers(1, top))) for top in (2, 8))
    assume(all(k * d <= n for k, d, n in zip(kernel, dilation, size)))
    stride = data.draw(st.integers(1, kernel[0])), data.draw(st.integers(1, kernel[1]))
    causal = data.draw(st.booleans()), data.draw(st.booleans())
    q, k, v = qkv(1, *size, 4, 4)
    k, v = k[..., :2, :], v[..., :2, :]
    expected = naive(q, *(x.repeat_interleave(2, 3) for x in (k, v)), kernel, dilation, 0.7, stride, causal)
    for backend, dtype in (("tiled", torch.float64), ("dense", torch.float64), ("tiled", torch.float32)):
        ours = neighborhood_attention_2d(
            q.to(dtype), k.to(dtype), v.to(dtype), kernel, dilation=dilation, stride=stride, is_causal=causal,
            scale=0.7, backend=backend,
        )  # fmt: skip
        close = 1e-9 if dtype == torch.float64 else 1e-5
        torch.testing.assert_close(ours, expected.to(dtype), rtol=close, atol=close)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_tiles_in_float32_equal_the_plain_formula(data):
    """Forward and gradients of what is fused and goes row by row, against float64, which does not."""
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(17, 40))
    kernel = (data.draw(st.integers(1, min(9, height))), data.draw(st.integers(1, 9)))
    results = []
    for dtype in (torch.float32, torch.float64):
        leaves = [x.requires_grad_() for x in qkv(2, height, width, 2, 8, dtype=dtype).unbind()]
        leaves[2] = leaves[2][..., :5]
        out = neighborhood_attention_2d(*leaves, kernel, backend="tiled")
        results.append((out, *torch.autograd.grad(out.square().sum(), leaves)))
    for ours, expected in zip(*results):
        torch.testing.assert_close(ours.double(), expected, rtol=1e-4, atol=1e-4)


def test_tiles_keep_nothing_for_the_backward_pass_but_their_inputs():
    leaves = [x.requires_grad_() for x in qkv(1, 32, 24, 2, 8, dtype=torch.float32).unbind()]
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        neighborhood_attention_2d(*leaves, 7, backend="tiled")
    assert sum(x.numel() for x in kept) == sum(x.numel() for x in leaves)


def test_tiles_under_function_transforms():
    batch = qkv(3, 1, 20, 18, 1, 4, dtype=torch.float32)

    def loss(q, k, v):
        return neighborhood_attention_2d(q, k, v, 5, backend="tiled").square().sum()

    q, k, v = (x.requires_grad_() for x in batch.unbind())
    expected = torch.autograd.grad(sum(loss(*one) for one in zip(q, k, v)), (q, k, v))
    ours = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1, 2)))(*batch.detach().unbind())
    shared = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 2))(q[0], k, v.movedim(0, 2))
    for a, b in zip((*ours, shared[0]), (*expected, expected[0][0])):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_hessian_vector_products_in_float32():
    q, k, v = qkv(1, 18, 19, 1, 4, dtype=torch.float32).unbind()
    tangent = torch.ones_like(q)
    products = []
    for dtype in (torch.float32, torch.float64):
        a, b, c, t = (x.to(dtype) for x in (q, k, v, tangent))
        gradient = torch.func.grad(
            lambda x, b=b, c=c: neighborhood_attention_2d(x, b, c, 5, backend="tiled").sin().sum()
        )
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            products.append(torch.func.jvp(gradient, (a,), (t,))[1])
    torch.testing.assert_close(products[0].double(), products[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", [(12, 12), (20, 18)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_autocast_and_empty_batches_do_not_depend_on_the_size(size, dilation):
    q, k, v = (x.requires_grad_() for x in qkv(1, *size, 1, 4, dtype=torch.float32).unbind())
    with torch.autocast("cpu", torch.bfloat16):
        out = neighborhood_attention_2d(q, k, v, 3, dilation=dilation, backend="tiled")
    assert out.dtype == torch.bfloat16
    assert torch.autograd.grad(out.float().sum(), q)[0].dtype == torch.float32
    assert neighborhood_attention_2d(q[:0], k[:0], v[:0], 3, dilation=dilation, backend="tiled").shape == q[:0].shape


@pytest.mark.parametrize(("size", "kernel", "dilation"), [((37, 26), 7, 1), ((40, 33), (3, 5), (2, 3))])
def test_gradients_equal_the_dense_ones(size, kernel, dilation):
    gradients = []
    for backend in ("tiled", "dense"):
        leaves = [x.requires_grad_() for x in qkv(2, *size, 2, 8, dtype=torch.float32).unbind()]
        out = neighborhood_attention_2d(*leaves, kernel, dilation=dilation, backend=backend)
        gradients.append(torch.autograd.grad(out.square().sum(), leaves))
    for ours, dense in zip(*gradients):
        torch.testing.assert_close(ours, dense, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "kernel"), [((18, 5), 3), ((6, 7), 7)])
def test_second_derivatives_in_float64(size, kernel):
    kernel = min(kernel, *size)
    leaves = [x.requires_grad_() for x in 0.5 * qkv(1, *size, 1, 2)]

    def attention(q, k, v):
        return neighborhood_attention_2d(q, k, v, kernel)

    assert torch.autograd.gradgradcheck(attention, leaves, fast_mode=True)
    tangents = tuple(torch.ones_like(x) for x in leaves)
    _, ours = torch.func.jvp(attention, tuple(x.detach() for x in leaves), tangents)
    h = 1e-6
    plus, minus = (attention(*(x.detach() + s * h * t for x, t in zip(leaves, tangents))) for s in (1, -1))
    torch.testing.assert_close(ours, (plus - minus) / (2 * h), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precisions(dtype):
    exact = qkv(1, 24, 20, 2, 16)
    reference = neighborhood_attention_2d(*exact, 5)
    ours = neighborhood_attention_2d(*exact.to(dtype), 5)
    assert ours.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    torch.testing.assert_close(ours.double(), reference, rtol=tolerance, atol=tolerance)


def test_a_window_as_large_as_the_grid_is_global_attention():
    q, k, v = qkv(2, 5, 7, 2, 4)
    torch.testing.assert_close(neighborhood_attention_2d(q, k, v, (5, 7)), global_attention(q, k, v))
    flat = [x.flatten(1, 2) for x in (q, k, v)]
    weights = (torch.einsum("bqnd,bknd->bnqk", flat[0], flat[1]) * 4**-0.5).softmax(-1)
    expected = torch.einsum("bnqk,bknd->bqnd", weights, flat[2]).unflatten(1, (5, 7))
    torch.testing.assert_close(global_attention(q, k, v), expected)


@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        ((1, 8, 8, 1, 4), {"kernel_size": 9}, r"9 \* 1 > height 8"),
        ((1, 8, 6, 1, 4), {"kernel_size": 3, "dilation": (1, 3)}, r"3 \* 3 > width 6"),
        ((1, 8, 8, 1, 4), {"kernel_size": 0}, "kernel_size must be a positive int"),
        ((1, 8, 8, 1, 4), {"kernel_size": (3, 3, 3)}, "kernel_size must be a positive int"),
        ((1, 8, 8, 1, 4), {"kernel_size": 3, "backend": "fast"}, "backend must be one of 'auto', 'tiled', 'dense'"),
        ((8, 8, 1, 4), {"kernel_size": 3}, r"q must be \(B, H, W, N, D\)"),
    ],
)
def test_bad_arguments(shape, arguments, message):
    with pytest.raises(ValueError, match=message):
        neighborhood_attention_2d(*qkv(*shape), **arguments)


def test_bad_tensors():
    q, k, v = qkv(1, 4, 4, 1, 4)
    with pytest.raises(ValueError, match="one shape"):
        neighborhood_attention_2d(q, k[:, :3], v, 3)
    with pytest.raises(ValueError, match="one floating dtype"):
        neighborhood_attention_2d(q, k.float(), v, 3)
    with pytest.raises(ValueError, match="one floating dtype"):
        neighborhood_attention_2d(q.long(), k.long(), v.long(), 3)


def test_positions_span_the_bounding_box():
    positions = axial_positions(4, 8)
    assert positions.shape == (4, 8, 2)
    torch.testing.assert_close(positions[0, :, 1], torch.tensor([-7, -5, -3, -1, 1, 3, 5, 7]) / 8)
    torch.testing.assert_close(positions[:, 0, 0], torch.tensor([-3, -1, 1, 3]) / 8)
    coarse = positions.unflatten(0, (2, 2)).unflatten(2, (4, 2)).mean((1, 3))
    torch.testing.assert_close(coarse, axial_positions(2, 4))  # merged tokens sit at the mean of their four


def test_rotation_is_multiplication_by_complex_numbers(generator):
    rope, x = AxialRoPE(16, 3), torch.randn(2, 4, 5, 3, 16, generator=generator, dtype=torch.float64)
    positions = axial_positions(4, 5, dtype=torch.float64)
    frequencies = torch.exp(torch.linspace(math.log(math.pi), math.log(10 * math.pi), 7)[:-1]).view(2, 3).T
    theta = torch.cat([positions[..., axis, None, None] * frequencies for axis in (0, 1)], -1)
    turned = torch.complex(x[..., :4], x[..., 4:8]) * torch.exp(1j * theta)
    expected = torch.cat((turned.real, turned.imag, x[..., 8:]), -1)
    torch.testing.assert_close(rope(x, positions), expected, rtol=1e-6, atol=1e-6)


def test_rotated_dot_products_depend_on_the_difference_of_positions(generator):
    rope = AxialRoPE(16, 2).double()
    q, k = torch.randn(2, 1, 1, 1, 2, 16, generator=generator, dtype=torch.float64)

    def dot(a, b):
        rotated = [rope(x, torch.tensor([[p]], dtype=torch.float64)) for x, p in ((q, a), (k, b))]
        return (rotated[0] * rotated[1]).sum(-1)

    torch.testing.assert_close(dot([0.1, 0.4], [-0.3, 0.2]), dot([0.5, 0.1], [0.1, -0.1]))
    with pytest.raises(ValueError, match="head_dim must be a multiple of 8"):
        AxialRoPE(12, 2)


def test_inference_first_then_training():
    """What is cached under inference_mode must not break a later backward."""
    q, k, v = torch.randn(3, 1, 21, 19, 1, 8)
    with torch.inference_mode():
        neighborhood_attention_2d(q, k, v, 5, backend="tiled")
    q.requires_grad_()
    neighborhood_attention_2d(q, k, v, 5, backend="tiled").sum().backward()
    assert torch.isfinite(q.grad).all()
