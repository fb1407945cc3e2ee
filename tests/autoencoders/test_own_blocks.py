"""Norms, middles and resizing layers of one's own: built, run in tiles, saved and loaded like the registered ones."""

import importlib
import json
import re
import sys
import warnings
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pmrf_blocks.autoencoders import SDVAE, WHOLE, Locality, SimVAE, load_autoencoder, save_diffusers
from pmrf_blocks.autoencoders.locality import in_sequence, locality_of
from pmrf_blocks.pretrained import WeightsError

sys.path.insert(0, str(Path(__file__).parent))
own = importlib.import_module("own_blocks")
sys.path.pop(0)

EXACT = [
    {"norm": own.Scale}, {"middle": own.Mixer}, {"upsample": own.enlarge}, {"resize": (own.reduce, own.enlarge)},
    {"norm": own.Scale, "middle": own.Mixer, "resize": (own.reduce, own.enlarge), "block": "sd"},
]  # fmt: skip
BLENDED = [
    ({"norm": own.Silent}, r"down_blocks.0.resnets.0 \(SimpleResBlock\): Silent states no locality"),
    ({"norm": own.Whole}, r"\(SimpleResBlock\): Whole states no locality"),
    ({"norm": nn.InstanceNorm2d}, r"\(SimpleResBlock\): instance norm takes its statistics over the whole image"),
]


def build(**arguments):
    torch.manual_seed(0)
    return SimVAE(2, channels=(4, 8, 8), blocks_per_level=1, middle_blocks=2, **arguments).double().eval()


def images(height=44, width=60):
    return torch.rand(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("arguments", EXACT, ids=str)
def test_what_states_its_locality_is_exact_in_tiles(arguments):
    vae = build(**arguments)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        z = vae.encode(images()).mean
        torch.testing.assert_close(vae.encode_tiled(images(), tile=12).mean, z, rtol=0, atol=1e-10)
        torch.testing.assert_close(vae.decode_tiled(z, tile=3), vae.decode(z), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("arguments", "message"), BLENDED, ids=str)
def test_what_states_none_is_blended_with_one_warning_that_names_it(arguments, message):
    vae = build(**arguments)
    with torch.no_grad(), pytest.warns(RuntimeWarning) as caught:
        tiled = vae.encode_tiled(images(), tile=12).mean
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert re.search(message, str(caught[0].message))
    assert tiled.shape == vae.encode(images()).mean.shape
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")  # one tile is the whole
        z = vae.encode(images()).mean
        torch.testing.assert_close(vae.encode_tiled(images(), tile=64).mean, z, rtol=0, atol=1e-10)


def test_an_enlarging_layer_that_states_nothing_still_enlarges():
    vae = build(upsample=own.Bilinear)
    z = torch.randn(1, 2, 9, 12, dtype=torch.float64)
    with torch.no_grad(), pytest.warns(RuntimeWarning, match="upsampler .*Bilinear states no locality"):
        tiled = vae.decode_tiled(z, tile=4)
    assert tiled.shape == vae.decode(z).shape


def test_a_locality_that_is_wrong_about_sizes_is_told():
    vae = build(upsample=own.Liar)
    with (
        torch.no_grad(),
        pytest.raises(ValueError, match=r"Liar made 6 rows or columns of 6, and its .* scale 2"),
    ):
        vae.decode_tiled(torch.randn(1, 2, 9, 12, dtype=torch.float64), tile=2)


@pytest.mark.parametrize("arguments", [*EXACT, {"upsample": own.Bilinear}, {"norm": own.Silent}], ids=str)
def test_saved_by_path_and_loaded_with_consent(arguments, tmp_path):
    vae = build(**arguments).float()
    vae.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert any("own_blocks:" in str(value) for value in config.values())
    for load in (SimVAE.from_pretrained, load_autoencoder):
        with pytest.raises(WeightsError, match=r"pass trusted_modules=\('own_blocks',\)"):
            load(tmp_path)
        again = load(tmp_path, trusted_modules=("own_blocks",))
        with torch.no_grad():
            assert torch.equal(again(images().float()), vae(images().float()))


def test_what_cannot_be_saved_is_built_and_run(tmp_path):
    vae = build(norm=lambda channels: own.Scale(channels))
    with torch.no_grad():
        assert vae(images()).shape == images().shape
    with pytest.raises(ValueError, match="lambda> cannot be saved: it has no import path"):
        vae.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="neither AutoencoderKL nor AutoencoderKLSim"):
        save_diffusers(vae, tmp_path)
    assert not any(tmp_path.iterdir())


def test_sd_vae_takes_them_too():
    torch.manual_seed(0)
    vae = SDVAE(2, channels=(4, 8), blocks_per_level=1, norm=own.Scale, middle=own.Mixer).double().eval()
    with torch.no_grad():
        z = vae.encode(images()).mean
        torch.testing.assert_close(vae.encode_tiled(images(), tile=10).mean, z, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"resize": (own.reduce,)},
            ValueError,
            "resize must be one of 'fused', 'separate', or two classes",
        ),
        ({"resize": (own.reduce, own.enlarge), "upsample": "pixel_shuffle"}, ValueError, "would be ignored"),
        ({"upsample": own.enlarge, "residual": True}, ValueError, "residual=True adds shortcuts"),
        ({"upsample": own.reduce}, ValueError, "must make a layer of scale 2; its locality says 1/2"),
        ({"norm": lambda channels: channels}, TypeError, "must make an nn.Module; got int"),
        ({"middle": own.Mixer, "middle_blocks": 1}, ValueError, "needs middle_blocks of at least 2"),
        ({"norm": 3}, ValueError, "norm must be one of 'layer', 'group'; got 3"),
    ],
)
def test_bad_variants(arguments, error, message):
    with pytest.raises(error, match=message):
        SimVAE(2, **{"channels": (4, 8), "middle_blocks": 2, **arguments})


def test_encode_asks_no_layer_for_its_weight():
    vae = build()
    expected = vae.encode(images()).mean
    vae.encoder.conv_in, vae.decoder.conv_in = map(own.Quantised, (vae.encoder.conv_in, vae.decoder.conv_in))
    assert torch.equal(vae.encode(images()).mean, expected)
    assert (vae.dtype, vae.device) == (torch.float64, torch.device("cpu"))
    assert vae.num_parameters() == sum(p.numel() for p in vae.parameters())
    assert vae.encoder.requires_grad_(False) is vae.encoder
    assert vae.num_parameters(only_trainable=True) == sum(p.numel() for p in vae.decoder.parameters())
    with pytest.raises(ValueError, match=r"must be torch\.float64 as the weights are"):
        vae.encode(images().float())


@given(
    kernel=st.integers(1, 5), stride=st.integers(1, 3), dilation=st.integers(1, 2), padding=st.integers(0, 4),
    low=st.integers(0, 5), length=st.integers(1, 4),
)  # fmt: skip
def test_a_convolution_s_locality_is_what_derivatives_show(kernel, stride, dilation, padding, low, length):
    conv = nn.Conv2d(1, 1, kernel, stride=stride, dilation=dilation, padding=padding)
    nn.init.ones_(conv.weight)
    locality = locality_of(conv)
    size = 30 * stride
    x = torch.zeros(1, 1, size, size, requires_grad=True)
    reach = dilation * (kernel - 1) + 1
    y = conv(x) if size + 2 * padding >= reach else x[..., :0]
    if y.shape[-1] * stride != size:
        assert locality.why_whole
        return
    assert not locality.why_whole
    assert locality.total_scale == Fraction(1, stride)
    span = (15 + low, 15 + low + length)
    (gradient,) = torch.autograd.grad(y[..., span[0] : span[1], :].sum(), x)
    rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    first, last = locality.input_span(span)
    assert first <= int(rows[0])
    assert last >= int(rows[-1]) + 1
    assert first > int(rows[0]) - 2 * stride - (padding * stride if stride > 1 else 0)
    assert first % stride == 0


def test_localities_add_up():
    halo = Locality(halo=1)
    assert halo.then(halo).input_span((10, 12)) == (8, 14)
    assert Locality(scale=2).then(halo).input_span((10, 12)) == (4, 7)
    assert halo.then(Locality(scale=0.5)).input_span((5, 6)) == (8, 13)  # aligned to the stride
    assert in_sequence([nn.Conv2d(1, 1, 3, padding=1), nn.PixelShuffle(2)]).total_scale == 2
    assert in_sequence([nn.Identity(), nn.GroupNorm(1, 1)]).why_whole.startswith("group norm")
    assert locality_of(nn.BatchNorm2d(1).eval()) == Locality()
    assert "batch norm" in locality_of(nn.BatchNorm2d(1)).why_whole
    assert locality_of(nn.Upsample(scale_factor=2, mode="bilinear")).why_whole
    assert locality_of(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")).why_whole
    assert locality_of(nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 1, 3, padding=1))).sides == (1, 1)
    assert WHOLE.why_whole
    for bad in ({"halo": -1}, {"scale": 1.5}, {"scale": 0}, {"halo": (1, -2)}):
        with pytest.raises(ValueError, match=r"must (be a whole number|not be negative)"):
            Locality(**bad)


def test_the_example_of_the_documentation_is_exact_in_tiles():
    page = (Path(__file__).parents[2] / "docs" / "autoencoders.md").read_text()
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class MyNorm" in block)
    scope = {}
    exec(example, scope)
    vae = scope["vae"].double().eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        z = torch.randn(1, 32, 9, 9, dtype=torch.float64)
        torch.testing.assert_close(vae.decode_tiled(z, tile=4), vae.decode(z), rtol=0, atol=1e-9)
