"""SwinIR against a plain restatement without windows or shifts, and its published checkpoint format."""

import pickle

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from pmrf_blocks.estimators import SwinIR, difface_swinir, load_swinir_weights, pmrf_swinir
from pmrf_blocks.pretrained import WeightsError

SMALL = {"embed_dim": 12, "depths": (2, 3), "num_heads": (2, 3), "window_size": 4, "unshuffle": 2}


def small(**changes):
    torch.manual_seed(0)
    model = SwinIR(**{**SMALL, **changes}).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def restated_attention(x, weights, heads, window, shift):
    """Dense attention over all tokens of (h, w, C): two see each other if one shifted window, not wrapped, has both."""
    h, w, c = x.shape
    row, column = (grid.flatten() for grid in torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"))
    together = torch.ones(h * w, h * w, dtype=torch.bool)
    for axis in (row, column):
        group = (axis - shift).div(window, rounding_mode="floor")
        together &= group[:, None] == group[None, :]
    table = weights["attn.relative_position_bias_table"].view(2 * window - 1, 2 * window - 1, heads)
    offsets = [(axis[:, None] - axis[None, :] + window - 1).clamp(0, 2 * window - 2) for axis in (row, column)]
    bias = table[offsets[0], offsets[1]]
    qkv = x.reshape(-1, c) @ weights["attn.qkv.weight"].T + weights["attn.qkv.bias"]
    q, k, v = qkv.view(-1, 3, heads, c // heads).unbind(1)
    logits = torch.einsum("inc,jnc->ijn", q, k) * (c // heads) ** -0.5 + bias
    attention = logits.masked_fill(~together[..., None], float("-inf")).softmax(1)
    y = torch.einsum("ijn,jnc->inc", attention, v).reshape(h * w, c)
    return (y @ weights["attn.proj.weight"].T + weights["attn.proj.bias"]).view(h, w, c)


def restated(weights, image):
    """The published network from its weights by name, for one image (3, H, W)."""

    def conv(name, x):
        return F.conv2d(x[None], weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)[0]

    def norm(name, x):
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def grow(x):
        return x.repeat_interleave(2, 1).repeat_interleave(2, 2)

    mean = torch.tensor((0.4488, 0.4371, 0.4040)).view(3, 1, 1).to(image)
    x = conv("conv_first.1", F.pixel_unshuffle(image - mean, 2))
    tokens = norm("patch_embed.norm", x.permute(1, 2, 0))
    for stage, (depth, heads) in enumerate(zip(SMALL["depths"], SMALL["num_heads"])):
        y = tokens
        for block in range(depth):
            name = f"layers.{stage}.residual_group.blocks.{block}"
            own = {k.removeprefix(name + "."): v for k, v in weights.items() if k.startswith(name + ".")}
            y = y + restated_attention(norm(f"{name}.norm1", y), own, heads, 4, 2 if block % 2 else 0)
            hidden = F.gelu(norm(f"{name}.norm2", y) @ own["mlp.fc1.weight"].T + own["mlp.fc1.bias"])
            y = y + hidden @ own["mlp.fc2.weight"].T + own["mlp.fc2.bias"]
        tokens = tokens + conv(f"layers.{stage}.conv", y.permute(2, 0, 1)).permute(1, 2, 0)
    x = x + conv("conv_after_body", norm("norm", tokens).permute(2, 0, 1))
    x = F.leaky_relu(conv("conv_before_upsample.0", x), 0.01)
    x = F.leaky_relu(conv("conv_up1", grow(x)), 0.2)
    return conv("conv_last", F.leaky_relu(conv("conv_hr", x), 0.2)) + mean


@pytest.mark.parametrize("size", [(8, 8), (24, 16), (16, 40)])
def test_equals_the_published_formula(size):
    model = small().double()
    images = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = torch.stack([restated(dict(model.state_dict()), image) for image in images])
        torch.testing.assert_close(model(images), expected, rtol=1e-9, atol=1e-9)


def test_parameters_of_the_presets():
    with torch.device("meta"):
        assert sum(p.numel() for p in difface_swinir().parameters()) == 15_792_587
        assert sum(p.numel() for p in pmrf_swinir().parameters()) == 4_741_007


@given(st.integers(1, 40), st.integers(1, 40))
def test_any_size(height, width):
    y = torch.rand(1, 3, height, width)
    with torch.no_grad():
        assert small()(y).shape == y.shape


def published_names(model):
    """The weights with the buffers that published files hold beside them."""
    state = dict(model.state_dict())
    for stage, depth in enumerate(SMALL["depths"]):
        for block in range(depth):
            name = f"layers.{stage}.residual_group.blocks.{block}"
            state[f"{name}.attn.relative_position_index"] = torch.zeros(16, 16, dtype=torch.long)
            if block % 2:
                state[f"{name}.attn_mask"] = torch.zeros(64, 16, 16)
    return state


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"params_ema": s}, lambda s: {"params": s}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_checkpoints_load(tmp_path, wrap, prefix):
    source, target = small(), SwinIR(**SMALL).eval()
    state = {prefix + key: value for key, value in published_names(source).items()}
    torch.save(wrap(state), tmp_path / "weights.pth")
    assert load_swinir_weights(target, tmp_path / "weights.pth") is target
    y = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(source(y), target(y))


def test_checkpoints_of_pmrf_carry_averages(tmp_path):
    """PMRF's own estimators: lightning's 'state_dict' under 'model.', torch-ema's list in the parameters' order."""
    raw, averaged = small(), small()
    for parameter in raw.parameters():
        parameter.data.zero_()
    state = {f"model.{key}": value for key, value in published_names(raw).items()}
    ema = {"decay": 0.9999, "shadow_params": [p.data for p in averaged.parameters()], "collected_params": None}
    torch.save({"state_dict": state, "ema": ema}, tmp_path / "last.ckpt")
    target = SwinIR(**SMALL)
    for flag, expected in ((True, averaged), (False, raw)):
        load_swinir_weights(target, tmp_path / "last.ckpt", ema=flag)
        assert all(torch.equal(a, b) for a, b in zip(target.parameters(), expected.parameters()))


def test_the_first_ten_bad_keys_are_named():
    state = dict(small().state_dict())
    del state["norm.weight"]
    state["surplus"] = torch.zeros(1)
    with pytest.raises(WeightsError, match=r"1 missing: norm\.weight; 1 unexpected: surplus"):
        load_swinir_weights(small(), state)
    with pytest.raises(WeightsError, match="of another shape"):
        load_swinir_weights(small(embed_dim=24), small().state_dict())


class Harmful:
    def __reduce__(self):
        return (print, ("run",))


def test_files_that_are_not_weights_are_refused(tmp_path, capsys):
    (tmp_path / "code.pth").write_bytes(pickle.dumps(Harmful()))
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name, message in {
        "code.pth": "not a file of weights alone",
        "tensor.pth": "holds a Tensor",
        "text.pth": "not a file of weights alone",
        "absent.pth": "not found",
    }.items():
        with pytest.raises(WeightsError, match=message):
            load_swinir_weights(small(), tmp_path / name)
    assert capsys.readouterr().out == ""


def test_bad_arguments():
    with pytest.raises(ValueError, match="one length"):
        SwinIR(depths=(2,), num_heads=(2, 2))
    with pytest.raises(ValueError, match="multiple of each of num_heads"):
        SwinIR(embed_dim=10, depths=(2,), num_heads=(3,))
    with pytest.raises(ValueError, match="unshuffle must be one of 2, 4, 8"):
        SwinIR(unshuffle=3)
    with pytest.raises(ValueError, match=r"images must be \(B, 3, H, W\)"):
        small()(torch.rand(1, 1, 8, 8))


def test_saves_and_loads(tmp_path):
    model = small()
    model.save_pretrained(tmp_path)
    again = SwinIR.from_pretrained(tmp_path)
    y = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        assert torch.equal(model(y), again(y))


def test_inference_first_then_training():
    model = SwinIR(embed_dim=8, depths=(2,), num_heads=(2,), window_size=3, unshuffle=2)
    with torch.inference_mode():
        model(torch.rand(1, 3, 18, 12))
    model(torch.rand(1, 3, 18, 12)).sum().backward()
