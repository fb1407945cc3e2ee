"""The backends of attention: which are there, agreement with natten itself, derivatives whatever the backend."""

import contextlib

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from pmrf_blocks.attention import (
    available_backends,
    global_attention,
    neighborhood_attention_2d,
    resolve_backend,
    resolve_global_backend,
)
from pmrf_blocks.attention import backends as registry
from pmrf_blocks.attention.backends import BACKENDS, Backend
from pmrf_blocks.attention.dense import neighborhood_mask
from pmrf_blocks.attention.flex import neighborhood_rule
from pmrf_blocks.attention.windows import Window


def qkv(*shape, dtype=torch.float32):
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


@pytest.fixture
def with_backend():
    """Registers a backend for one test."""

    def forget():
        registry.available_backends.cache_clear()
        registry.why_missing.cache_clear()

    def register(backend):
        BACKENDS["another"] = backend
        forget()

    yield register
    BACKENDS.pop("another", None)
    forget()


def test_backends_say_why_they_are_not_there():
    reasons = available_backends()
    assert set(reasons) >= {"tiled", "dense", "natten", "flex"}
    assert reasons["tiled"] is reasons["dense"] is None
    assert resolve_backend("auto") == "tiled"
    for name, reason in reasons.items():
        assert reason is None or len(reason) > 10, name
    if not torch.cuda.is_available():
        assert resolve_backend("flex") == "flex"  # works by name, although it is not what one wants
        assert "natten" in reasons["natten"]


@pytest.mark.parametrize(("device", "missing", "unfit", "chosen"), [
    ("cuda", None, None, "another"),
    ("cuda", None, "slow here", "tiled"),
    ("cuda", "not installed", None, "tiled"),
    ("cpu", None, None, "tiled"),
])  # fmt: skip
def test_auto_takes_the_first_that_works_well(with_backend, monkeypatch, device, missing, unfit, chosen):
    monkeypatch.setattr(registry, "AUTO_ON_CUDA", ("another",))
    with_backend(Backend(BACKENDS["dense"].run, lambda: missing, lambda: unfit))
    assert resolve_backend("auto", device) == chosen
    assert available_backends()["another"] == (missing or unfit)
    with pytest.raises(ImportError, match="not installed") if missing else contextlib.nullcontext():
        assert resolve_backend("another", device) == "another"


def test_fused_kernels_get_neither_float64_nor_tangents(with_backend):
    seen = []

    def fused(q, k, v, window, scale):
        seen.append(q.dtype)
        return BACKENDS["dense"].run(q, k, v, window, scale)

    with_backend(Backend(fused))
    wide, narrow = qkv(1, 18, 5, 1, 8, dtype=torch.float64), qkv(1, 18, 5, 1, 8)

    def attention(q, k, v):
        return neighborhood_attention_2d(q, k, v, 3, backend="another")

    expected = neighborhood_attention_2d(*wide, 3, backend="dense")
    torch.testing.assert_close(attention(*wide), expected)
    torch.func.jvp(attention, tuple(narrow), tuple(narrow))
    assert seen == []
    torch.testing.assert_close(attention(*narrow), expected.float())
    assert seen == [torch.float32]


def differentiable_forms():
    return {
        "neighborhood": lambda q, k, v: neighborhood_attention_2d(q, k, v, 3, backend="tiled"),
        "global": global_attention,
    }


def test_what_is_kept_from_a_transformed_call_serves_elsewhere():
    q, k, v = qkv(1, 23, 20, 1, 8)  # a size that no other test has, so that nothing is kept yet

    def attention(q):
        return neighborhood_attention_2d(q, k, v, 5, backend="tiled")

    for backend in ("tiled", "dense"):
        torch.func.jvp(lambda q: neighborhood_attention_2d(q, k, v, 5, backend=backend), (q,), (q,))  # noqa: B023
    (ours,) = torch.autograd.grad(attention(q.requires_grad_()).square().sum(), q)
    dense = neighborhood_attention_2d(q, k, v, 5, backend="dense")
    torch.testing.assert_close(ours, torch.autograd.grad(dense.square().sum(), q)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", differentiable_forms())
def test_forward_mode_in_float32(name):
    attention = differentiable_forms()[name]
    wide, direction = qkv(1, 18, 6, 1, 8, dtype=torch.float64), qkv(1, 18, 6, 1, 8, dtype=torch.float64).flip(0)
    h = 1e-6
    slope = (attention(*(wide + h * direction)) - attention(*(wide - h * direction))) / (2 * h)
    for dtype, tolerance in ((torch.float64, 1e-7), (torch.float32, 1e-4)):
        _, ours = torch.func.jvp(attention, tuple(wide.to(dtype)), tuple(direction.to(dtype)))
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.double(), slope, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", differentiable_forms())
def test_second_derivatives_in_float32_under_the_math_kernel(name):
    """In float64 without asking; in float32 torch's fused kernels must be turned off, as the documentation says."""

    def second(dtype):
        q, k, v = (x.requires_grad_() for x in qkv(1, 18, 6, 1, 8, dtype=dtype))
        first = torch.autograd.grad(differentiable_forms()[name](q, k, v).square().sum(), (q, k, v), create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), (q, k, v))

    with sdpa_kernel(SDPBackend.MATH):
        rough = second(torch.float32)
    for ours, exact in zip(rough, second(torch.float64)):
        torch.testing.assert_close(ours.double(), exact, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("size", "window"),
    [
        ((6, 5), Window((3, 4))),
        ((9, 8), Window((4, 3), (2, 2))),
        ((5, 7), Window((1, 2), (3, 3))),
        ((9, 8), Window((4, 3), (2, 2), (3, 2), (True, False))),
        ((9, 8), Window((4, 3), (1, 2), (2, 3), (False, True))),
    ],
)
def test_flex_has_the_same_windows(size, window):
    from torch.nn.attention.flex_attention import create_mask

    pixels = size[0] * size[1]
    rule = create_mask(neighborhood_rule(size, window), 1, 1, pixels, pixels, device="cpu")
    assert torch.equal(rule[0, 0], neighborhood_mask(size, window, torch.device("cpu")))


NATTEN_CASES = [
    ((8, 8), 3, 1),
    ((16, 13), (7, 7), 1),
    ((20, 17), (5, 4), (2, 3)),
    ((9, 9), 4, 2),
    ((24, 24), 7, 3),
    ((7, 30), (2, 9), (3, 1)),
    ((6, 8), (1, 5), 1),
]


@pytest.mark.parametrize(("size", "kernel", "dilation"), NATTEN_CASES)
def test_equals_natten(size, kernel, dilation):
    reason = BACKENDS["natten"].missing()
    if reason is not None:
        pytest.skip(reason)
    from natten import na2d

    q, k, v = qkv(2, *size, 2, 16)
    ours = neighborhood_attention_2d(q, k, v, kernel, dilation=dilation, scale=0.3, backend="tiled")
    named = neighborhood_attention_2d(q, k, v, kernel, dilation=dilation, scale=0.3, backend="natten")
    torch.testing.assert_close(named, ours, rtol=1e-5, atol=1e-5)
    if 1 not in (kernel if isinstance(kernel, tuple) else (kernel,)):  # natten has no window of one pixel
        theirs = na2d(q, k, v, kernel_size=kernel, dilation=dilation, scale=0.3)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_backends_of_global_attention():
    assert resolve_global_backend("auto") == "sdpa"
    with pytest.raises(ValueError, match="global_backend must be one of 'auto', 'sdpa', 'xformers'; got 'fast'"):
        global_attention(*qkv(1, 4, 4, 1, 8), backend="fast")
    if not torch.cuda.is_available():
        with pytest.raises(ImportError, match=r"global_backend 'xformers': .*xformers"):
            resolve_global_backend("xformers")


def test_bad_tensors():
    q, k, v = qkv(1, 4, 4, 1, 8)
    with pytest.raises(ValueError, match=r"one floating dtype; got torch.float32, torch.float64, torch.float32"):
        global_attention(q, k.double(), v)
    with pytest.raises(ValueError, match=r"q must be \(B, H, W, N, D\)"):
        global_attention(q[0], k[0], v[0])
    with pytest.raises(ValueError, match="one shape"):
        global_attention(q, k[:, :3], v)
