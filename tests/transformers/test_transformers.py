"""The hourglass transformer: published counts, a plain restatement of a layer, derivatives, sizes, saving."""

import math

import pytest
import torch
import torch.nn.functional as F
from hourglass_toys import FORMS, filled, tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from pmrf_blocks.attention import axial_positions
from pmrf_blocks.transformers import Level, latent_pmrf_hdit, pmrf_controlled_hdit, pmrf_hdit
from pmrf_blocks.transformers.block import TransformerLayer
from pmrf_blocks.transformers.resample import ConvPatchOut, ConvTokenMerge


@pytest.mark.parametrize(
    ("build", "published", "tolerance"),
    [
        (pmrf_hdit, 160.46e6, 1e-4),
        (lambda: pmrf_hdit(augmentation=False), 159.87e6, 1e-4),
        (pmrf_controlled_hdit, 121.54e6, 1e-4),
        (latent_pmrf_hdit, 151.2e6, 5e-3),
    ],
)
def test_parameter_counts_are_the_published_ones(build, published, tolerance):
    with torch.device("meta"):
        count = sum(p.numel() for p in build().parameters())
    assert count == pytest.approx(published, rel=tolerance)


def restated_layer(layer, x, cond, *, cosine, depthwise):
    """One layer, image by image and query by query, from the published description."""
    w = {key: value.double() for key, value in layer.state_dict().items()}
    heads, width, kernel = layer.self_attn.heads, layer.self_attn.level.head_dim, 3
    height, breadth = x.shape[1:3]

    def norm(h, name):
        scale = cond @ w[f"{name}.linear.weight"].T + 1
        return h / (h.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * scale[:, None, None]

    def depth(h, name):
        if not depthwise:
            return h
        padded = F.pad(h, (0, 0, 1, 1, 1, 1))
        out = torch.zeros_like(h) + w[f"{name}.bias"]
        for dy in range(3):
            for dx in range(3):
                out = out + padded[:, dy : dy + height, dx : dx + breadth] * w[f"{name}.weight"][:, 0, dy, dx]
        return out

    qkv = depth(norm(x, "self_attn.norm") @ w["self_attn.qkv_proj.weight"].T, "self_attn.conv")
    q, k, v = qkv.reshape(*x.shape[:3], 3, heads, width).unbind(3)
    if cosine:
        root = w["self_attn.scale"].sqrt()[:, None]
        q, k = (part / (part.pow(2).sum(-1, keepdim=True) + 1e-6).sqrt() * root for part in (q, k))
    longer = max(height, breadth)
    quarter = width // 4
    turned = []
    for part in (q, k):
        part = part.clone()
        for y in range(height):
            for z in range(breadth):
                place = ((2 * y + 1 - height) / longer, (2 * z + 1 - breadth) / longer)
                theta = torch.cat([p * w["self_attn.pos_emb.freqs"] for p in place], -1)
                a, b = part[:, y, z, :, :quarter].clone(), part[:, y, z, :, quarter : 2 * quarter].clone()
                part[:, y, z, :, :quarter] = a * theta.cos() - b * theta.sin()
                part[:, y, z, :, quarter : 2 * quarter] = b * theta.cos() + a * theta.sin()
        turned.append(part)
    q, k = turned
    out = torch.zeros_like(v)
    for y in range(height):
        for z in range(breadth):
            top, left = min(max(y - 1, 0), height - kernel), min(max(z - 1, 0), breadth - kernel)
            near = (slice(None), slice(top, top + kernel), slice(left, left + kernel))
            scores = torch.einsum("bnd,bhwnd->bnhw", q[:, y, z], k[near]) * (1 if cosine else width**-0.5)
            weights = scores.flatten(2).softmax(-1).view_as(scores)
            out[:, y, z] = torch.einsum("bnhw,bhwnd->bnd", weights, v[near])
    x = x + out.flatten(-2) @ w["self_attn.out_proj.weight"].T
    a, gate = depth(norm(x, "ff.norm") @ w["ff.up_proj.weight"].T, "ff.conv").chunk(2, -1)
    return x + (a * gate * 0.5 * (1 + torch.erf(gate / math.sqrt(2)))) @ w["ff.down_proj.weight"].T


@pytest.mark.parametrize(("cosine", "depthwise"), [(True, False), (False, True)])
def test_a_layer_is_its_description(cosine, depthwise, generator):
    level = Level(32, 1, kernel_size=3, head_dim=16)
    layer = TransformerLayer(level, 8, cosine=cosine, depthwise=depthwise)
    filled(layer).double()
    x = torch.randn(2, 4, 5, 32, generator=generator, dtype=torch.float64)
    cond = torch.randn(2, 8, generator=generator, dtype=torch.float64)
    ours = layer(x, axial_positions(4, 5, dtype=torch.float64), cond)
    expected = restated_layer(layer, x, cond, cosine=cosine, depthwise=depthwise)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    before = x.clone()
    with torch.no_grad():  # in place wherever nobody sees it
        again = layer(x, axial_positions(4, 5, dtype=torch.float64), cond)
    torch.testing.assert_close(again, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(x, before)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=12)
@given(batch=st.integers(1, 2), height=st.integers(1, 20), width=st.integers(1, 20))
def test_any_size(form, batch, height, width):
    x = torch.zeros(batch, 3, height, width)
    with torch.no_grad():
        assert tiny(**FORMS[form])(x, torch.zeros(batch)).shape == x.shape


def test_shifted_windows_alternate():
    """As k-diffusion counts: 0, 1, ... on the way down, on from there on the way up."""
    level = Level(16, 3, "shifted_window", window_size=5, head_dim=16)
    model = tiny(levels=(level, level))
    shifts = [[layer.self_attn.shift for layer in stack] for stack in (model.down_levels[0], model.up_levels[0])]
    assert shifts == [[0, 2, 0], [2, 0, 2]]


@pytest.mark.parametrize("form", FORMS)
def test_velocity_starts_at_zero_and_every_parameter_learns(form, generator):
    model = tiny(augmentation=form == "pmrf", **FORMS[form])
    x = torch.randn(2, 3, 16, 12, generator=generator)
    assert model(x, 0.5).any() == (form == "release")  # which asks for no zeros
    filled(model)(x, torch.rand(2, generator=generator)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("patch", [(1, 1), (2, 2), (4, 4), (3, 1)])
def test_convolutions_see_the_next_token_and_no_further(patch):
    """A patch's token sees a row and a column beside it; what a token gives reaches the tokens around it."""
    height, width = 6 * patch[0], 6 * patch[1]
    merge, out = (filled(one) for one in (ConvTokenMerge(3, 5, patch, bias=True), ConvPatchOut(5, 3, patch, bias=True)))
    pixels, tokens = torch.zeros(1, height, width, 3), torch.zeros(1, 6, 6, 5)
    assert merge(pixels).shape == tokens.shape
    assert out(tokens).shape == pixels.shape
    reach = torch.func.jacrev(lambda x: merge(x)[0, 3, 3].sum())(pixels)[0].abs().sum(-1) > 0
    for axis, side in enumerate(patch):
        seen = reach.any(1 - axis).nonzero().flatten().tolist()
        assert seen == [*range(3 * side - 1, 4 * side + (side % 2))]
    reach = torch.func.jacrev(lambda x: out(x)[0, 3 * patch[0], 3 * patch[1]].sum())(tokens)[0].abs().sum(-1) > 0
    assert reach.nonzero().tolist() == [[row, column] for row in (2, 3, 4) for column in (2, 3, 4)]


def test_each_choice_of_layers_has_its_parameters():
    """In the ways that the release's block has, beside those of HDiT."""

    def count(**changes):
        with torch.device("meta"):
            return sum(p.numel() for p in latent_pmrf_hdit(**changes).parameters())

    own, upper, lower = count(), 256 * 512, 512 * 1024
    assert own - count(split="linear") == (9 - 4) * (upper + lower)
    assert count(merge="conv") - own == (9 - 4) * (upper + lower)
    assert count(patches="conv") - own == 2 * (9 - 1) * 32 * 256
    biases = {width: 2 * (3 * width + 2 * 3 * width + width + width) for width in (256, 512, 1024)}
    layers = 2 * biases[256] + 4 * biases[512] + 3 * biases[1024]  # both sides of the hourglass, once at the bottom
    ends = 256 + 32 + (512 + 1024) + (256 + 512)
    assert count(bias=True) - own == layers + ends
    assert count(zero_output=False) == own
    for name in ("split", "merge", "patches"):
        with pytest.raises(ValueError, match=f"{name} must be one of 'linear', 'conv'; got 'cubic'"):
            count(**{name: "cubic"})


def test_a_condition_is_concatenated(generator):
    """PMRF's conditioned baselines: x_t and the condition in one tensor, the velocity of x_t alone."""
    model = filled(tiny(in_channels=5, out_channels=3))
    x, condition = torch.randn(2, 3, 9, 14, generator=generator), torch.randn(2, 2, 9, 14, generator=generator)
    with torch.no_grad():
        velocity = model(torch.cat((x, condition), 1), 0.5)
        assert velocity.shape == x.shape
        assert not torch.allclose(velocity, model(torch.cat((x, condition + 1), 1), 0.5))
    with pytest.raises(ValueError, match=r"x must be \(B, 5, H, W\)"):
        model(x, 0.5)
    with torch.device("meta"):
        conditioned = pmrf_controlled_hdit(condition_channels=3)
    assert conditioned.patch_in.proj.in_features == 6 * 16
    assert conditioned.patch_out.proj.out_features == 3 * 16


def test_fourier_features_do_not_depend_on_the_global_state():
    torch.manual_seed(1)
    first = tiny().time_emb.weight
    torch.manual_seed(2)
    assert torch.equal(first, tiny().time_emb.weight)


DERIVED = {  # every kind of attention; the smallest sizes at which windows are cut at the border
    "pmrf": {},
    "latent": FORMS["latent"],
    "shifted": {"levels": (Level(16, 2, "shifted_window", window_size=3, head_dim=16),), "patch_size": 1},
}


@pytest.mark.parametrize("form", DERIVED)
def test_forward_and_second_derivatives(form):
    model = filled(tiny(**DERIVED[form]), std=0.3).double()
    height, width = (8, 8) if form == "pmrf" else (4, 4)
    x = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.tensor([0.3], dtype=torch.float64)
    leaves = x.clone().requires_grad_(), t.clone().requires_grad_()
    assert torch.autograd.gradgradcheck(model, leaves, fast_mode=True)
    direction = (torch.ones_like(x), torch.ones_like(t))
    _, ours = torch.func.jvp(model, (x, t), direction)
    h = 1e-6
    plus, minus = (model(x + s * h * direction[0], t + s * h * direction[1]) for s in (1, -1))
    torch.testing.assert_close(ours, (plus - minus) / (2 * h), rtol=1e-4, atol=1e-5)
    narrow = [tuple(part.float() for part in pair) for pair in ((x, t), direction)]
    _, rough = torch.func.jvp(model.float(), *narrow)  # as distillation in float32 takes it
    assert float(((rough.double() - ours).norm() / ours.norm()).detach()) < 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_images_of_a_batch_do_not_mix(form, generator):
    model = filled(tiny(**FORMS[form]))
    x, t = torch.randn(3, 3, 16, 16, generator=generator), torch.rand(3, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(model(x, t)[1:2], model(x[1:2], t[1:2]), rtol=1e-4, atol=1e-4)


def test_bfloat16_autocast_is_close(generator):
    model = filled(tiny(**FORMS["latent"]), std=0.1)
    x = torch.randn(2, 3, 16, 16, generator=generator)
    with torch.no_grad():
        exact = model(x, 0.4)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(x, 0.4)
    assert float((rough - exact).norm() / exact.norm()) < 0.03


def test_checkpointing_changes_nothing(generator):
    kinds = ("neighborhood", "shifted_window", "none", "global")
    levels = tuple(Level(16, 1, kind, kernel_size=3, window_size=3, head_dim=16) for kind in kinds)
    model = filled(tiny(levels=levels, patch_size=1))
    x = torch.randn(1, 3, 8, 8, generator=generator)
    gradients = []
    for flag in (False, True):
        model.gradient_checkpointing = flag
        gradients.append(torch.autograd.grad(model(x, 0.2).square().sum(), list(model.parameters())))
    for plain, recomputed in zip(*gradients):
        torch.testing.assert_close(plain, recomputed)
