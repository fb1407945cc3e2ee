"""The fused kernels against the eager formulas beside them: on CUDA, and without it in Triton's interpreter."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pmrf_blocks.attention import neighborhood_attention_2d
from pmrf_blocks.kernels import choice
from pmrf_blocks.kernels.layer_norm import channel_layer_norm, layer_norm_reference, layer_norm_rows
from pmrf_blocks.kernels.neighborhood import attention, neighborhood, neighborhood_reference
from pmrf_blocks.kernels.rms_norm import rms_norm, rms_norm_rows
from pmrf_blocks.kernels.rotary import rotary, rotary_reference, rotary_reference_, rotate_qk
from pmrf_blocks.transformers import layers as formula

pytest.importorskip("triton", reason="triton is not installed")
CPU = pytest.param("cpu", marks=pytest.mark.skipif(not choice.interpreted(), reason="the GPU is tested instead"))
CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"))
devices = pytest.mark.parametrize("device", [CPU, CUDA])
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
TOLERANCE = {torch.float32: 1e-5, torch.float16: 8e-3, torch.bfloat16: 6e-2}


def random(*shape, device="cpu", dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device, dtype).requires_grad_()


def agree(fused, eager, inputs, tolerance=1e-5, second=False):
    """One result, one set of gradients (and of second derivatives), for the same inputs; the formula in float32."""
    results = []
    for function, wide in ((fused, False), (eager, True)):
        leaves = [x.detach().to(torch.float32 if wide else x.dtype).requires_grad_() for x in inputs]
        out = function(*leaves)
        out = [out] if isinstance(out, torch.Tensor) else list(out)
        weights = [random(*y.shape, device=y.device, dtype=y.dtype, seed=i + 7) for i, y in enumerate(out)]
        first = torch.autograd.grad(out, leaves, weights, create_graph=second)
        results.append([*out, *first])
        if second:
            results[-1] += torch.autograd.grad(sum(g.square().sum() for g in first), [*leaves, *weights])
    for ours, expected in zip(*results):
        ours, expected = ours.detach().float(), expected.detach()
        torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance * (1 + float(expected.abs().max())))


@devices
@settings(max_examples=4)
@given(data=st.data())
def test_layer_norm(device, data):
    size = [data.draw(st.integers(low, top)) for low, top in ((1, 2), (4, 70), (1, 6), (1, 7))]
    silu, last = data.draw(st.booleans()), data.draw(st.booleans())
    x, weight, bias = random(*size, device=device), *random(2, size[1], device=device, seed=1).detach()
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    y = channel_layer_norm(x, weight, bias, 1e-6, silu)
    assert y.permute(0, 2, 3, 1).is_contiguous()
    agree(
        lambda *inputs: channel_layer_norm(*inputs, 1e-6, silu),
        lambda *inputs: layer_norm_reference(*inputs, 1e-6, silu),
        (x, weight, bias),
    )


@devices
@settings(max_examples=4)
@given(data=st.data())
def test_rms_norm(device, data):
    size = [data.draw(st.integers(1, top)) for top in (3, 6, 5, 70)]
    scale = random(*size[::3], device=device, seed=1) if data.draw(st.booleans()) else random(size[3], device=device)
    agree(
        lambda x, scale: rms_norm(x, scale, 1e-6),
        lambda x, scale: rms_norm_reference(x, scale, 1e-6),
        (random(*size, device=device), scale),
    )


def rms_norm_reference(x, scale, eps):
    """The transformers' formula, for one scale for all or one for each image."""
    return formula.rms_norm(x, scale if scale.ndim == 1 else scale.view(len(scale), *[1] * (x.ndim - 2), -1), eps)


def turns(size, heads, width, device):
    theta = random(*size, heads, width, device=device, seed=3).detach()
    return theta.cos(), theta.sin()


@devices
@settings(max_examples=4)
@given(data=st.data())
def test_rotary(device, data):
    batch, height, width, heads = (data.draw(st.integers(1, top)) for top in (2, 4, 5, 3))
    head_dim = data.draw(st.sampled_from([16, 24, 48, 128]))
    qkv = random(batch, height, width, 3, heads, head_dim, device=device)
    cos, sin = turns((height, width), heads, head_dim // 4, device)
    scale = torch.linspace(0.5, 10, heads, device=device)

    def apply(function):
        return lambda qkv, *scale: function(*qkv.unbind(-3)[:2], cos, sin, *scale)

    inputs = (qkv, scale) if data.draw(st.booleans()) else (qkv,)
    agree(apply(rotary), apply(rotary_reference), inputs)
    with torch.no_grad():
        expected, after = apply(rotary_reference)(*inputs), qkv.detach().clone()
        q, k, v = after.unbind(-3)
        rotary(q, k, cos, sin, *inputs[1:], inplace=True)
        torch.testing.assert_close((q, k), expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(v, qkv[..., 2, :, :])


@settings(max_examples=8)
@given(data=st.data())
def test_rotary_in_place_without_a_kernel(data):
    batch, height, width, heads = (data.draw(st.integers(1, top)) for top in (2, 4, 5, 3))
    dtype = data.draw(st.sampled_from([torch.float32, torch.bfloat16, torch.float64]))
    qkv = random(batch, height, width, 3, heads, 24, device="cpu").detach().to(dtype)
    cos, sin = turns((height, width), heads, 6, "cpu")
    scale = data.draw(st.sampled_from([None, torch.linspace(0.5, 10, heads)]))
    q, k, v = qkv.clone().unbind(-3)
    rotary_reference_(q, k, cos, sin, scale)
    expected = rotary_reference(*qkv.unbind(-3)[:2], cos, sin, scale)
    assert q.dtype == dtype
    torch.testing.assert_close((q, k), expected, rtol=2e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)
    assert torch.equal(v, qkv[..., 2, :, :])


@devices
@settings(max_examples=4)
@given(data=st.data())
def test_neighborhood(device, data):
    dilation = (data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2)))
    height, width = data.draw(st.integers(1, 10)), data.draw(st.integers(1, 9))
    kernel = (data.draw(st.integers(1, 8)), data.draw(st.integers(1, 8)))
    assume(kernel[0] * dilation[0] <= height and kernel[1] * dilation[1] <= width)
    same_attention((1, height, width, data.draw(st.integers(1, 2)), 16), kernel, dilation, device)


def same_attention(size, kernel, dilation, device, dtype=torch.float32, value_width=None):
    q, k = random(2, *size, device=device, dtype=dtype).detach()
    v = random(*size[:4], value_width or size[4], device=device, dtype=dtype, seed=1).detach()
    agree(
        lambda q, k, v: neighborhood_attention_2d(q, k, v, kernel, dilation=dilation, scale=0.4, backend="triton"),
        lambda q, k, v: neighborhood_reference(q, k, v, kernel, dilation, 0.4),
        (q, k, v),
        TOLERANCE[dtype],
    )


@devices
@pytest.mark.parametrize(
    ("size", "kernel", "dilation", "value_width"),
    [
        ((1, 19, 6, 1, 16), (7, 4), (1, 1), 16),  # three tiles: shifted at one border, centred, shifted at the other
        ((1, 7, 20, 1, 24), (3, 6), (2, 3), 40),  # classes of unequal length, widths that are no power of two
        ((2, 9, 3, 2, 64), (8, 1), (1, 1), 64),  # as float32 heads 64 wide are tiled
        ((1, 3, 4, 1, 128), (2, 3), (1, 1), 128),
    ],
)
def test_neighborhood_at_borders(size, kernel, dilation, value_width, device):
    same_attention(size, kernel, dilation, device, value_width=value_width)


def test_the_reference_equals_dense_attention():
    q, k, v = random(3, 2, 9, 8, 2, 4).detach().double()
    dense = neighborhood_attention_2d(q, k, v, (3, 2), dilation=(2, 4), scale=0.3, backend="dense")
    torch.testing.assert_close(neighborhood_reference(q, k, v, (3, 2), (2, 4), 0.3), dense)


@devices
def test_parts_of_one_projection_and_repeatable_bits(device):
    qkv = random(1, 9, 5, 3, 2, 16, device=device)
    out = [neighborhood(*qkv.unbind(-3), (3, 3), (1, 1), 0.25) for _ in range(2)]
    parts = [x.contiguous() for x in qkv.unbind(-3)]
    torch.testing.assert_close(out[0], neighborhood_reference(*parts, (3, 3), (1, 1), 0.25))
    gradients = [torch.autograd.grad(y.square().sum(), qkv)[0] for y in out]
    assert torch.equal(*out)
    assert torch.equal(*gradients)


@devices
@dtypes
def test_precisions(device, dtype):
    x, weight = random(1, 12, 2, 3, device=device, dtype=dtype), random(12, device=device, dtype=dtype, seed=1)
    tolerance = TOLERANCE[dtype]
    agree(
        lambda x, w: channel_layer_norm(x, w, w, 1e-6, True),
        lambda x, w: layer_norm_reference(x, w, w, 1e-6, True),
        (x, weight),
        tolerance,
    )
    agree(lambda *a: rms_norm(*a, 1e-6), lambda *a: rms_norm_reference(*a, 1e-6),
          (x.detach().permute(0, 2, 3, 1), weight), tolerance)  # fmt: skip
    cos, sin = turns((2, 2), 1, 4, device)
    q, k, scale = *random(2, 1, 2, 2, 1, 16, device=device, dtype=dtype).detach(), torch.tensor([3.0], device=device)
    agree(
        lambda q, k, s: rotary(q, k, cos, sin, s),
        lambda q, k, s: rotary_reference(q, k, cos, sin, s),
        (q, k, scale),
        tolerance,
    )
    same_attention((1, 4, 5, 1, 16), (3, 2), (1, 1), device, dtype)


@devices
def test_second_derivatives(device):
    cos, sin = turns((3, 2), 2, 4, device)
    image, w, s = random(1, 8, 2, 3, device=device), random(8, device=device), random(1, 8, device=device)
    agree(lambda x, w: channel_layer_norm(x, w, w, 1e-6, True),
          lambda x, w: layer_norm_reference(x, w, w, 1e-6, True), (image, w), 1e-4, second=True)  # fmt: skip
    agree(lambda x, s: rms_norm(x, s, 1e-6), lambda x, s: rms_norm_reference(x, s, 1e-6),
          (random(1, 3, 8, device=device), s), 1e-4, second=True)  # fmt: skip
    q, k, v = random(3, 1, 3, 2, 2, 16, device=device).detach()
    scale = torch.tensor([2.0, 5.0], device=device)
    agree(lambda *a: rotary(*a[:2], cos, sin, a[2]),
          lambda *a: rotary_reference(*a[:2], cos, sin, a[2]), (q, k, scale), 1e-4, second=True)  # fmt: skip
    agree(lambda *a: neighborhood(*a, (2, 2), (1, 1), 0.4),
          lambda *a: neighborhood_reference(*a, (2, 2), (1, 1), 0.4), (q, k, v), 1e-4, second=True)  # fmt: skip


@devices
def test_forward_mode_takes_the_formula(device):
    q, k, v = random(3, 1, 3, 4, 1, 16, device=device).detach()

    def apply(q):
        return neighborhood_attention_2d(q, k, v, 2, backend="triton")

    _, ours = torch.func.jvp(apply, (q,), (torch.ones_like(q),))
    _, exact = torch.func.jvp(lambda q: neighborhood_reference(q, k, v, (2, 2), (1, 1), 0.25), (q,), (q * 0 + 1,))
    torch.testing.assert_close(ours, exact)
    with torch.autograd.forward_ad.dual_level():
        assert not choice.fits(torch.autograd.forward_ad.make_dual(q, q))


@devices
def test_operators_are_what_torch_compile_needs(device):
    """Schemas, shapes without data, gradients: torch's own checks of a custom operator."""
    x, scale = random(1, 3, 8, device=device), random(1, 8, device=device)
    qkv = random(3, 1, 3, 2, 1, 16, device=device).unbind()
    samples = [
        (layer_norm_rows, (x[0], scale[0], scale[0], 1e-6, True)),
        (rms_norm_rows, (x, scale, 1e-6)),
        (rotate_qk, (*qkv[:2], *turns((3, 2), 1, 4, device), None)),
        (attention, (*qkv, [2, 2], [1, 1], 0.25)),
    ]
    for operator, arguments in samples:
        torch.library.opcheck(
            operator, arguments, test_utils=("test_schema", "test_faketensor", "test_aot_dispatch_static")
        )


def test_what_no_kernel_takes(monkeypatch):
    device = "cuda" if torch.cuda.is_available() else "cpu"  # elsewhere in the interpreter
    q = torch.zeros(1, 3, 3, 1, 16, device=device)
    assert not choice.fits(q)
    with pytest.raises(ValueError, match="float32, float16 or bfloat16"):
        rms_norm(q.double(), q[0, 0, 0, 0].double(), 1e-6)
    with pytest.raises(ValueError, match="at most 128 wide"):
        neighborhood(*[torch.zeros(1, 3, 3, 1, 144, device=device)] * 3, (3, 3), (1, 1), 1.0)
    wide = torch.randn(1, 4, 3, 1, 144, device=device)
    tiled = neighborhood_attention_2d(wide, wide, wide, 3, backend="tiled")
    torch.testing.assert_close(neighborhood_attention_2d(wide, wide, wide, 3, backend="triton"), tiled)
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    q = q.cpu()
    with pytest.raises(ValueError, match="needs CUDA tensors; got cpu"):
        neighborhood_attention_2d(q, q, q, 2, backend="triton")
