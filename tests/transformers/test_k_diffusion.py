"""Published weights of the hourglass transformer, and parity with a plain restatement of k-diffusion's formula.

Nothing here asks the model for names, shapes or order: `published_layout` writes them down from the published code.
"""

import math
import pickle

import pytest
import torch

from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.transformers import HourglassTransformer, Level, load_k_diffusion_weights, pmrf_hdit

WIDTHS, DEPTHS, MAPPING, PATCH, HEAD, KERNEL, WINDOW = (32, 48, 64), (2, 1, 2), 24, 2, 16, 3, 4
KINDS = {"pmrf": ("neighborhood", "neighborhood", "global"), "others": ("shifted_window", "none", "neighborhood")}


def published_layout(widths=WIDTHS, depths=DEPTHS, kinds=KINDS["pmrf"], mapping=MAPPING, patch=PATCH, head=HEAD):
    """(name, shape, whether it is a parameter), in the order in which k-diffusion registers its parts."""

    def layer(name, width, kind):
        if kind != "none":
            heads = width // head
            yield f"{name}.self_attn.scale", (heads,), True
            yield f"{name}.self_attn.norm.linear.weight", (width, mapping), True
            yield f"{name}.self_attn.qkv_proj.weight", (3 * width, width), True
            yield f"{name}.self_attn.pos_emb.freqs", (heads, head // 8), False
            yield f"{name}.self_attn.out_proj.weight", (width, width), True
        yield f"{name}.ff.norm.linear.weight", (width, mapping), True
        yield f"{name}.ff.up_proj.weight", (6 * width, width), True
        yield f"{name}.ff.down_proj.weight", (width, 3 * width), True

    yield "patch_in.proj.weight", (widths[0], 3 * patch**2), True
    for name, inputs in (("time", 1), ("aug", 9)):
        yield f"{name}_emb.weight", (mapping // 2, inputs), False
        yield f"{name}_in_proj.weight", (mapping, mapping), True
    yield "mapping.in_norm.scale", (mapping,), True
    for i in range(2):
        yield f"mapping.blocks.{i}.norm.scale", (mapping,), True
        yield f"mapping.blocks.{i}.up_proj.weight", (6 * mapping, mapping), True
        yield f"mapping.blocks.{i}.down_proj.weight", (mapping, 3 * mapping), True
    yield "mapping.out_norm.scale", (mapping,), True
    for side in ("down", "up"):
        for i, (width, depth, kind) in enumerate(list(zip(widths, depths, kinds))[:-1]):
            for j in range(depth):
                yield from layer(f"{side}_levels.{i}.{j}", width, kind)
    for j in range(depths[-1]):
        yield from layer(f"mid_level.{j}", widths[-1], kinds[-1])
    for i in range(len(widths) - 1):
        yield f"merges.{i}.proj.weight", (widths[i + 1], 4 * widths[i]), True
    for i in range(len(widths) - 1):
        yield f"splits.{i}.fac", (1,), True
        yield f"splits.{i}.proj.weight", (4 * widths[i], widths[i + 1]), True
    yield "out_norm.scale", (widths[0],), True
    yield "patch_out.proj.weight", (3 * patch**2, widths[0]), True


def published_weights(kinds=KINDS["pmrf"], seed=0):
    """Random weights by name, at sizes that keep every activation near one."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape, _ in published_layout(kinds=kinds):
        value = torch.randn(shape, generator=generator)
        if name.endswith("self_attn.scale"):
            value = 2 + value.abs()
        elif name.endswith("freqs"):
            value = math.pi * (1 + 9 * torch.rand(shape, generator=generator))
        elif len(shape) == 1:
            value = 0.5 + 0.2 * value
        elif not name.endswith("_emb.weight"):
            value = value / shape[1] ** 0.5
        state[name] = value
    return state


def model_of(kinds=KINDS["pmrf"]):
    levels = [
        Level(width, depth, kind, kernel_size=KERNEL, window_size=WINDOW, head_dim=HEAD)
        for width, depth, kind in zip(WIDTHS, DEPTHS, kinds)
    ]
    return HourglassTransformer(levels=levels, patch_size=PATCH, mapping_width=MAPPING, augmentation=True).eval()


def sees(kind, index, height, width):
    """(H * W, H * W) bool, from the definition of each kind of attention, pixel by pixel."""

    def near(a, b, size):
        if kind == "global":
            return True
        if kind == "neighborhood":
            first = min(max(a - KERNEL // 2, 0), size - KERNEL)
            return first <= b < first + KERNEL
        shift = WINDOW // 2 if index % 2 else 0
        return (a + shift) // WINDOW == (b + shift) // WINDOW

    rows, columns = (
        torch.tensor([[near(a, b, size) for b in range(size)] for a in range(size)]) for size in (height, width)
    )
    both = rows[:, None, :, None] & columns[None, :, None, :]
    return both.reshape(height * width, height * width)


def restated(weights, kinds, x, t):
    """k-diffusion's image transformer v2 with t in the place of log(sigma) / 4, as PMRF has it."""

    def rms(h, scale):
        return h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-6) * scale

    def geglu(h, name):
        value, gate = (h @ weights[f"{name}.up_proj.weight"].T).chunk(2, -1)
        gelu = gate * 0.5 * (1 + torch.erf(gate / math.sqrt(2)))
        return (value * gelu) @ weights[f"{name}.down_proj.weight"].T

    def fourier(values, name):
        angles = 2 * math.pi * values @ weights[f"{name}_emb.weight"].T
        return torch.cat((angles.cos(), angles.sin()), -1) @ weights[f"{name}_in_proj.weight"].T

    def adaptive(h, name):
        return rms(h, (cond @ weights[f"{name}.linear.weight"].T + 1)[:, None, None])

    def rotary(h, freqs):
        height, width = h.shape[1:3]
        half = 1 / max(height, width)  # half a pixel's side; the longer side of the box goes from -1 to 1
        ys, xs = ((2 * torch.arange(n, dtype=h.dtype) + 1 - n) * half for n in (height, width))
        angle_y = (ys[:, None, None] * freqs)[:, None].expand(-1, width, -1, -1)
        angle_x = (xs[:, None, None] * freqs)[None].expand(height, -1, -1, -1)
        angle = torch.cat((angle_y, angle_x), -1)
        d = angle.shape[-1]
        turned = torch.complex(h[..., :d], h[..., d : 2 * d]) * torch.polar(torch.ones_like(angle), angle)
        return torch.cat((turned.real, turned.imag, h[..., 2 * d :]), -1)

    def attention(h, name, kind, index):
        _, height, width, channels = h.shape
        qkv = adaptive(h, f"{name}.norm") @ weights[f"{name}.qkv_proj.weight"].T
        q, k, v = qkv.view(*h.shape[:3], 3, channels // HEAD, HEAD).unbind(3)
        scale = weights[f"{name}.scale"].sqrt()[:, None]
        q, k = (part * torch.rsqrt(part.square().sum(-1, keepdim=True) + 1e-6) * scale for part in (q, k))
        q, k = (rotary(part, weights[f"{name}.pos_emb.freqs"]) for part in (q, k))
        scores = torch.einsum("byxnd,bvund->bnyxvu", q, k).flatten(4).flatten(2, 3)
        scores = scores.masked_fill(~sees(kind, index, height, width), float("-inf"))
        out = torch.einsum("bnqs,bsnd->bqnd", scores.softmax(-1), v.flatten(1, 2)).reshape(h.shape)
        return out @ weights[f"{name}.out_proj.weight"].T

    def level(h, name, kind, depth, first=0):
        for j in range(depth):
            if kind != "none":
                h = h + attention(h, f"{name}.{j}.self_attn", kind, first + j)
            h = h + geglu(adaptive(h, f"{name}.{j}.ff.norm"), f"{name}.{j}.ff")
        return h

    def fold(h, p):
        b, height, width, c = h.shape
        return h.view(b, height // p, p, width // p, p, c).transpose(2, 3).reshape(b, height // p, width // p, -1)

    def unfold(h, p):
        b, height, width, c = h.shape
        h = h.view(b, height, width, p, p, c // p**2).transpose(2, 3)
        return h.reshape(b, height * p, width * p, c // p**2)

    weights = {name: value.to(x.dtype) for name, value in weights.items()}
    cond = fourier(t[:, None], "time") + fourier(t.new_zeros(len(t), 9), "aug")
    cond = rms(cond, weights["mapping.in_norm.scale"])
    for i in range(2):
        cond = cond + geglu(rms(cond, weights[f"mapping.blocks.{i}.norm.scale"]), f"mapping.blocks.{i}")
    cond = rms(cond, weights["mapping.out_norm.scale"])
    h, skips = fold(x.movedim(1, -1), PATCH) @ weights["patch_in.proj.weight"].T, []
    for i, kind in enumerate(kinds[:-1]):
        skips.append(level(h, f"down_levels.{i}", kind, DEPTHS[i]))
        h = fold(skips[-1], 2) @ weights[f"merges.{i}.proj.weight"].T
    h = level(h, "mid_level", kinds[-1], DEPTHS[-1])
    for i in reversed(range(len(kinds) - 1)):
        up = unfold(h @ weights[f"splits.{i}.proj.weight"].T, 2)
        h = skips[i] + weights[f"splits.{i}.fac"] * (up - skips[i])
        h = level(h, f"up_levels.{i}", kinds[i], DEPTHS[i], first=DEPTHS[i])
    h = rms(h, weights["out_norm.scale"]) @ weights["patch_out.proj.weight"].T
    return unfold(h, PATCH).movedim(-1, 1)


@pytest.mark.parametrize("form", KINDS)
def test_equals_k_diffusion_at_random_weights(form):
    kinds, state = KINDS[form], published_weights(KINDS[form])
    model = load_k_diffusion_weights(model_of(kinds), state)
    generator = torch.Generator().manual_seed(1)
    x, t = torch.randn(2, 3, 32, 48, generator=generator), torch.rand(2, generator=generator)
    with torch.no_grad():
        ours, expected = model(x, t), restated(state, kinds, x.double(), t.double())
    assert 0.3 < float(expected.std()) < 3  # neither vanished nor blown up: the tolerance means something
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-5)


def test_names_and_shapes_of_the_released_model():
    layout = published_layout((256, 512, 1024), (2, 2, 8), mapping=768, patch=4, head=64)
    with torch.device("meta"):
        model = pmrf_hdit()
    assert {name: shape for name, shape, _ in layout} == {n: tuple(v.shape) for n, v in model.state_dict().items()}


def checkpoint(raw, averaged, wrapper=""):
    """A lightning checkpoint of PMRF: the flow under 'model.', other modules beside it, torch-ema's state."""
    layout = list(published_layout())
    others = {"mmse_model.conv_last.bias": torch.zeros(3), "fid.real_sum": torch.zeros(2)}
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.2.0",
        "state_dict": {**{f"model.{wrapper}{name}": value for name, value in raw.items()}, **others},
        "hyper_parameters": {"stage": "flow", "betas": (0.9, 0.95)},
        "ema": {
            "decay": 0.9999,
            "num_updates": 7,
            "shadow_params": [averaged[name] for name, _, trained in layout if trained],
            "collected_params": None,
        },
    }


def assert_loaded(model, parameters, buffers):
    own = model.state_dict()
    trained = {name for name, _ in model.named_parameters()}
    for name in own:
        assert torch.equal(own[name], (parameters if name in trained else buffers)[name]), name


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod."])
def test_checkpoints_of_pmrf(tmp_path, wrapper):
    raw, averaged = published_weights(seed=0), published_weights(seed=1)
    path = tmp_path / "last.ckpt"
    torch.save(checkpoint(raw, averaged, wrapper), path)
    assert_loaded(load_k_diffusion_weights(model_of(), path), averaged, raw)
    assert_loaded(load_k_diffusion_weights(model_of(), path, ema=False), raw, raw)


@pytest.mark.parametrize("wrap", [
    lambda state: state,
    lambda state: {f"inner_model.{name}": value for name, value in state.items()},
    lambda state: {"model": published_weights(seed=2), "model_ema": state, "step": 5},
])  # fmt: skip
def test_weights_of_k_diffusion(wrap):
    state = published_weights()
    assert_loaded(load_k_diffusion_weights(model_of(), wrap(state)), state, state)


def test_averages_alone_keep_the_frequencies():
    raw, averaged = published_weights(seed=0), published_weights(seed=1)
    model = load_k_diffusion_weights(model_of(), raw)
    with pytest.warns(UserWarning, match="fixed frequencies of the time embedding stay the model's own"):
        load_k_diffusion_weights(model, checkpoint(raw, averaged)["ema"])
    assert_loaded(model, averaged, raw)


def test_what_does_not_fit_is_named():
    state = published_weights()
    for i in range(12):
        state[f"surplus.{i}"] = state[f"mid_level.{i % 2}.ff.up_proj.weight"]
    del state["out_norm.scale"]
    state["splits.0.fac"] = torch.zeros(2)
    with pytest.raises(WeightsError) as caught:
        load_k_diffusion_weights(model_of(), state)
    message = str(caught.value)
    assert "1 missing: out_norm.scale;" in message
    assert "12 unexpected: surplus.0, " in message
    assert "surplus.9, ..." in message
    assert "surplus.10" not in message
    assert "1 of another shape: splits.0.fac (2,) for (1,)" in message

    raw = published_weights()
    for change, complaint in (
        (lambda shadow: shadow[:-1], r"averaged parameters for the .* of the model"),
        (lambda shadow: shadow[::-1], r"averaged parameters of another shape: patch_in.proj.weight \(12, 32\) for"),
        (lambda shadow: "none", "'ema' holds no list 'shadow_params'"),
    ):
        broken = checkpoint(raw, raw)
        broken["ema"]["shadow_params"] = change(broken["ema"]["shadow_params"])
        with pytest.raises(WeightsError, match=complaint):
            load_k_diffusion_weights(model_of(), broken)


def test_another_form_is_refused():
    with pytest.raises(WeightsError, match=r"unexpected: aug_emb.weight, aug_in_proj.weight"):
        load_k_diffusion_weights(HourglassTransformer(levels=model_of().levels, patch_size=PATCH), published_weights())


class Harmful:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_that_is_not_weights_is_refused(tmp_path, capsys):
    torch.save({"state_dict": Harmful()}, tmp_path / "code.ckpt")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(Harmful()))
    torch.save([torch.zeros(1)], tmp_path / "list.ckpt")
    for name, complaint in (("code", "not a file of weights alone"), ("plain", "alone"), ("list", "holds a list")):
        with pytest.raises(WeightsError, match=complaint):
            load_k_diffusion_weights(model_of(), tmp_path / f"{name}.ckpt")
    with pytest.raises(WeightsError, match=r"absent\.ckpt not found"):
        load_k_diffusion_weights(model_of(), tmp_path / "absent.ckpt")
    assert capsys.readouterr().out == ""
