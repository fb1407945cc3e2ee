"""Tiles against the untiled result, for any size and tile; what is not exact says so; memory is bounded."""

import subprocess
import sys
import textwrap
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pmrf_blocks.autoencoders import SDVAE, SimVAE
from pmrf_blocks.autoencoders.blocks import PixelAttention
from pmrf_blocks.autoencoders.networks import Chain
from pmrf_blocks.autoencoders.tiling import Tiles, halo, output_size, tiled_part

TINY = {"channels": (4, 8, 8), "blocks_per_level": 1, "middle_blocks": 2}
EXACT = [
    {"upsample": upsample, "resize": resize, "block": block, "quant_conv": block == "sd"}
    for upsample in ("nearest", "pixel_shuffle")
    for resize in ("fused", "separate")
    for block in ("simple", "sd")
]


def build(**arguments):
    torch.manual_seed(0)
    return SimVAE(2, **{**TINY, **arguments}).double().eval()


@pytest.mark.parametrize("form", EXACT, ids=lambda form: "-".join(map(str, form.values())))
@settings(max_examples=12)
@given(height=st.integers(1, 24), width=st.integers(1, 160), tile=st.integers(1, 12))  # wide: tiles far from a border
def test_tiles_equal_the_whole(form, height, width, tile):
    vae = build(**form)
    x = torch.rand(1, 3, height, width, dtype=torch.float64) * 2 - 1
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = vae.encode(x)
        tiled = vae.encode_tiled(x, tile=4 * tile)
        torch.testing.assert_close(tiled.mean, whole.mean, rtol=0, atol=1e-10)
        torch.testing.assert_close(tiled.logvar, whole.logvar, rtol=0, atol=1e-10)
        torch.testing.assert_close(vae.decode_tiled(whole.mean, tile=tile), vae.decode(whole.mean), rtol=0, atol=1e-10)


def test_float32_is_equal_to_a_hundred_thousandth():
    vae = build().float()
    x = torch.rand(2, 3, 100, 76, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        z = vae.encode(x).mean
        torch.testing.assert_close(vae.encode_tiled(x, tile=32).mean, z, rtol=0, atol=1e-5)
        torch.testing.assert_close(vae.decode_tiled(z, tile=5), vae.decode(z), rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", EXACT, ids=lambda form: "-".join(map(str, form.values())))
def test_the_halo_covers_what_a_tile_depends_on(form):
    """By derivatives: no input beyond the halo matters, and the halo is no more than two steps too wide."""
    vae = build(**form)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.abs_().add_(0.01)  # nothing cancels
    for network, channels, unit in ((vae.encoder, 3, 4), (vae.decoder, 2, 1)):
        steps = list(network.steps())
        size, tile = 40 * unit, (16 * unit, 20 * unit)
        x = torch.rand(1, channels, size, size, dtype=torch.float64, requires_grad=True)
        low, high = (edge * output_size(steps, unit) // unit for edge in tile)
        (gradient,) = torch.autograd.grad(network(x)[..., low:high, low:high].sum(), x)
        rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
        reach = max(tile[0] - int(rows[0]), int(rows[-1]) + 1 - tile[1])
        assert reach <= halo(steps) <= reach + 2 * unit


def test_a_missing_halo_would_show():
    """The test above can fail: tiles cut without their surroundings differ visibly."""
    vae = build()
    z = torch.randn(1, 2, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        cut = torch.cat((vae.decode(z[..., :8]), vae.decode(z[..., 8:])), -1)
        assert float((cut - vae.decode(z)).abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: build(norm="group", norm_groups=2), "group norm"),
        (lambda: build(middle="attention"), "self-attention"),
        (lambda: SDVAE(2, channels=(4, 8, 8), blocks_per_level=1, norm_groups=2).double().eval(), "group norm"),
    ],
)
def test_what_cannot_be_exact_says_why_and_is_blended(model, reason):
    torch.manual_seed(0)
    vae = model()
    x = torch.rand(1, 3, 83, 64, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        z = vae.encode(x).mean
        with pytest.warns(RuntimeWarning, match=reason):
            tiled = vae.encode_tiled(x, tile=16).mean
        with pytest.warns(RuntimeWarning, match=reason):
            y = vae.decode_tiled(z, tile=4)
        whole = vae.decode(z)
    assert tiled.shape == z.shape
    assert y.shape == whole.shape
    assert torch.isfinite(y).all()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")  # one tile is the whole
        torch.testing.assert_close(vae.decode_tiled(z, tile=100), whole)


def test_layers_whose_whole_maps_are_small_are_not_tiled():
    """Attention at the lowest resolution is exact then, and only layers at the high ones are in tiles."""
    vae = build(channels=(4, 4, 4), middle="attention")
    x = torch.rand(1, 3, 96, 64, dtype=torch.float64) * 2 - 1
    for steps, shape, tile in ((vae.encoder, x.shape, 8), (vae.decoder, (1, 2, 24, 16), 32)):
        steps = list(steps.steps())
        first, last = tiled_part(steps, shape, tile)
        low = [step for step in steps if isinstance(step, PixelAttention)]
        assert low
        assert not any(step in steps[first:last] for step in low)
        assert 0 < last - first < len(steps)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        z = vae.encode(x).mean
        torch.testing.assert_close(vae.encode_tiled(x, tile=32).mean, z, rtol=0, atol=1e-10)
        torch.testing.assert_close(vae.decode_tiled(z, tile=8), vae.decode(z), rtol=0, atol=1e-10)


@given(height=st.integers(1, 40), width=st.integers(1, 40), tile=st.integers(1, 20))
def test_blending_weights_sum_to_one(height, width, tile):
    """Layers that see one pixel alone are blended into exactly what they give untiled."""
    pixelwise = torch.nn.Conv2d(2, 3, 1).double()
    x = torch.randn(1, 2, height, width, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(Tiles(Chain(), [pixelwise]).blended(x, tile), pixelwise(x))


def test_bad_tiles():
    with pytest.raises(ValueError, match="at least 4 pixels"):
        build().encode_tiled(torch.rand(1, 3, 8, 8).double(), tile=3)
    with pytest.raises(ValueError, match="at least 1 latent"):
        build().decode_tiled(torch.rand(1, 2, 8, 8).double(), tile=0)


MEMORY = textwrap.dedent(
    """
    import re, torch
    from pmrf_blocks.autoencoders import SimVAE
    from pmrf_blocks.kernels import give_back_memory
    torch.set_num_threads(1)
    vae = SimVAE(4, channels=(16, 4), blocks_per_level=1, middle_blocks=1).eval()

    def peak(decode, size):
        y = decode(torch.randn(1, 4, size, size))
        status = open("/proc/self/status").read()  # getrusage() would count the process that started this one
        return int(re.search(r"VmHWM:\\s*(\\d+) kB", status)[1]) - y.numel() * 4 // 1024

    def tiled(z):
        return vae.decode_tiled(z, tile=32, before_layer=give_back_memory)

    with torch.no_grad():  # a process's peak only grows, so the smallest comes first
        print(peak(tiled, 32), peak(tiled, 256), peak(vae.decode, 256))
    """
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
def test_memory_is_bounded_by_the_tile():
    """An image of 64 tiles takes little more than one tile, and far less than it takes at once."""
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    before, tiled, whole = map(int, run.stdout.split())
    assert whole - before > 40_000  # KiB: or the comparison says nothing
    assert tiled - before < (whole - before) / 4
