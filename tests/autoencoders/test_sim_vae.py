"""SimVAE against the published counts, keys and a plain restatement."""

import json

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from pmrf_blocks.autoencoders import DiagonalGaussian, SimVAE
from pmrf_blocks.pretrained import WeightsError

TINY = {"latent_channels": 4, "channels": (8, 16, 24), "blocks_per_level": 1, "middle_blocks": 2}


def tiny(**changes) -> SimVAE:
    torch.manual_seed(0)
    return SimVAE(**{**TINY, **changes}).eval()


@pytest.mark.parametrize(("latent_channels", "published"), [(32, 91_030_595), (16, 90_809_379)])
def test_parameter_count_is_the_published_one(latent_channels, published):
    with torch.device("meta"):
        vae = SimVAE(latent_channels)
    assert sum(p.numel() for p in vae.parameters()) == published


def test_keys_are_the_published_ones():
    keys = set(tiny().state_dict())
    for key in (
        "encoder.conv_in.weight",
        "encoder.down_blocks.0.resnets.0.norm.weight",
        "encoder.down_blocks.0.resnets.0.conv1.weight",
        "encoder.down_blocks.0.downsampler.conv.bias",
        "encoder.mid_block.resnets.1.conv2.weight",
        "encoder.conv_out.weight",
        "decoder.conv_in.weight",
        "decoder.mid_block.resnets.0.norm.bias",
        "decoder.up_blocks.1.upsampler.conv.weight",
        "decoder.up_blocks.2.resnets.1.conv2.bias",
        "decoder.conv_out.bias",
    ):
        assert key in keys
    assert "encoder.down_blocks.2.downsampler.conv.weight" not in keys
    assert "decoder.up_blocks.2.upsampler.conv.weight" not in keys


def restated(vae: SimVAE, x: torch.Tensor) -> torch.Tensor:
    """Encode to the mean and decode, written out from the published description in float64."""
    w = {key: value.double() for key, value in vae.state_dict().items()}

    def conv(h, name, stride=1):
        return F.conv2d(h, w[f"{name}.weight"], w[f"{name}.bias"], stride=stride, padding=1)

    def norm(h, name):
        if vae.design.norm == "layer":
            mean, var = h.mean(1, keepdim=True), h.var(1, keepdim=True, unbiased=False)
            h = (h - mean) / (var + 1e-6).sqrt()
        else:
            g = h.reshape(h.shape[0], vae.design.norm_groups, -1)
            g = (g - g.mean(2, keepdim=True)) / (g.var(2, keepdim=True, unbiased=False) + 1e-6).sqrt()
            h = g.reshape(h.shape)
        return h * w[f"{name}.weight"].view(1, -1, 1, 1) + w[f"{name}.bias"].view(1, -1, 1, 1)

    def blocks(h, name):
        count = len({key.split(".resnets.")[1].split(".")[0] for key in w if key.startswith(f"{name}.resnets.")})
        for i in range(count):
            r = f"{name}.resnets.{i}"
            inner = conv(norm(h, f"{r}.norm"), f"{r}.conv1")
            h = h + conv(inner * torch.sigmoid(inner), f"{r}.conv2")
        return h

    def enlarge(h, name):
        if vae.design.upsample == "nearest":
            return conv(h.repeat_interleave(2, 2).repeat_interleave(2, 3), name)
        h = conv(h, name)
        out = h.new_empty(h.shape[0], h.shape[1] // 4, 2 * h.shape[2], 2 * h.shape[3])
        for i in range(4):  # channel 4 c + 2 y + x goes to row y and column x of each pixel's block
            out[..., i // 2 :: 2, i % 2 :: 2] = h[:, i::4]
        return out

    levels = 3
    h = conv(x, "encoder.conv_in")
    for i in range(levels):
        h = blocks(h, f"encoder.down_blocks.{i}")
        if i < levels - 1:
            h = conv(h, f"encoder.down_blocks.{i}.downsampler.conv", stride=2)
    h = conv(blocks(h, "encoder.mid_block"), "encoder.conv_out")
    h = h[:, : h.shape[1] // 2]
    h = blocks(conv(h, "decoder.conv_in"), "decoder.mid_block")
    for i in range(levels):
        h = blocks(h, f"decoder.up_blocks.{i}")
        if i < levels - 1:
            h = enlarge(h, f"decoder.up_blocks.{i}.upsampler.conv")
    return conv(h, "decoder.conv_out")


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("upsample", ["nearest", "pixel_shuffle"])
def test_equals_the_plain_restatement(norm, upsample, generator):
    vae = tiny(norm=norm, norm_groups=4, upsample=upsample).double()
    for parameter in vae.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    x = torch.rand(2, 3, 16, 24, generator=generator, dtype=torch.float64) * 2 - 1
    torch.testing.assert_close(vae(x), restated(vae, x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("upsample", ["nearest", "pixel_shuffle"])
@given(batch=st.integers(1, 2), height=st.integers(1, 21), width=st.integers(1, 21))
def test_any_size_comes_back(norm, upsample, batch, height, width):
    vae = tiny(norm=norm, upsample=upsample)
    x = torch.zeros(batch, 3, height, width)
    with torch.no_grad():
        z = vae.encode(x).mode()
        assert z.shape == (batch, 4, -(-height // 4), -(-width // 4))
        assert vae(x).shape == x.shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_is_kept(dtype):
    vae = tiny().to(dtype)
    assert vae(torch.zeros(1, 3, 8, 8, dtype=dtype)).dtype == dtype


def test_layer_norm_keeps_an_outlier_local(generator):
    """No statistic crosses pixels: far from a changed pixel nothing changes (which group norm cannot offer)."""
    x = torch.rand(1, 3, 160, 160, generator=generator)
    y = x.clone()
    y[..., 0, 0] += 5.0
    with torch.no_grad():
        for norm, local in (("layer", True), ("group", False)):
            vae = tiny(norm=norm)
            change = (vae.encode(x).mean - vae.encode(y).mean).abs()
            assert (float(change[..., -1, -1].max()) == 0.0) is local


def test_posterior_matches_torch_distributions(generator):
    moments = torch.randn(3, 8, 2, 2, generator=generator)
    posterior = DiagonalGaussian(moments)
    peer = torch.distributions.Normal(posterior.mean, posterior.std)
    unit = torch.distributions.Normal(torch.zeros(()), torch.ones(()))
    expected = torch.distributions.kl_divergence(peer, unit).sum(dim=(1, 2, 3))
    torch.testing.assert_close(posterior.kl(), expected)


def test_posterior_samples_reproduce_and_leave_the_global_state_alone():
    posterior = DiagonalGaussian(torch.zeros(1, 4, 50, 50))
    state = torch.get_rng_state()
    a = posterior.sample(torch.Generator().manual_seed(1))
    b = posterior.sample(torch.Generator().manual_seed(1))
    assert torch.equal(a, b)
    assert torch.equal(state, torch.get_rng_state())
    assert abs(float(a.std()) - 1.0) < 0.05


def test_normalize_inverts(generator):
    vae = tiny(scaling_factor=0.3, shift_factor=0.1)
    z = torch.randn(1, 4, 3, 3, generator=generator)
    torch.testing.assert_close(vae.denormalize(vae.normalize(z)), z)


def test_save_and_load_bit_for_bit(tmp_path):
    vae = tiny(scaling_factor=0.7, upsample="pixel_shuffle")
    vae.save_pretrained(tmp_path)
    again = SimVAE.from_pretrained(tmp_path)
    assert again.scaling_factor == 0.7
    for (key, a), b in zip(vae.state_dict().items(), again.state_dict().values()):
        assert torch.equal(a, b), key


def test_damaged_weights_are_named(tmp_path):
    tiny().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=r"model\.safetensors is damaged"):
        SimVAE.from_pretrained(tmp_path)


def test_foreign_weights_are_listed(tmp_path):
    tiny(latent_channels=6).save_pretrained(tmp_path)
    other = tmp_path / "other"
    tiny().save_pretrained(other)
    (tmp_path / "model.safetensors").replace(other / "model.safetensors")
    with pytest.raises(
        WeightsError, match=r"of another shape: .*conv_out\.weight \(12, 24, 3, 3\) for \(8, 24, 3, 3\)"
    ):
        SimVAE.from_pretrained(other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_channels": 6}, r"of another shape: .*conv_out\.weight \(8, 24, 3, 3\) for \(12, 24, 3, 3\)"),
        ({"channels": [8, 16, 10**6]}, "of another shape"),  # told before anything of that size is allocated
        ({"channels": 7}, r"channels must be .*Sequence\[int\]; got 7"),
        ({"widths": [8]}, "'widths' is no argument known here"),
        ({"norm": "batch"}, "norm must be one of"),
        ({"class": "SDVAE"}, "describes a SDVAE, not a SimVAE"),
    ],
)
def test_a_config_that_lies(changes, message, tmp_path):
    tiny().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(WeightsError, match=message):
        SimVAE.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm": "batch"}, "norm must be one of 'layer', 'group'; got 'batch'"),
        ({"upsample": "cubic"}, "upsample must be one of 'nearest', 'pixel_shuffle'; got 'cubic'"),
        ({"latent_channels": 0}, "latent_channels must be at least 1"),
        ({"channels": ()}, "channels must name at least one"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SimVAE(**{**TINY, **arguments})


@pytest.mark.parametrize(
    ("call", "shape", "dtype", "message"),
    [
        ("encode", (1, 1, 8, 8), torch.float32, r"images must be \(B, 3, H, W\); got \(1, 1, 8, 8\)"),
        ("encode", (3, 8, 8), torch.float32, r"images must be \(B, 3, H, W\); got \(3, 8, 8\)"),
        ("encode", (1, 3, 0, 8), torch.float32, r"images must have at least one pixel; got \(1, 3, 0, 8\)"),
        ("encode", (1, 3, 8, 8), torch.uint8, r"images must be torch.float32 as the weights are; got torch.uint8"),
        ("encode", (1, 3, 8, 8), torch.float64, r"images must be torch.float32 as the weights are; got torch.float64"),
        ("decode", (1, 3, 8, 8), torch.float32, r"latents must be \(B, 4, h, w\); got \(1, 3, 8, 8\)"),
        ("decode", (1, 4, 8, 0), torch.float32, r"latents must have at least one pixel; got \(1, 4, 8, 0\)"),
        ("decode", (1, 4, 8, 8), torch.bfloat16, r"latents must be torch.float32 as the weights are"),
    ],
)
@pytest.mark.parametrize("tiled", ["", "_tiled"])
def test_bad_inputs(call, tiled, shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        getattr(tiny(), call + tiled)(torch.zeros(shape, dtype=dtype))


def test_autocast_takes_any_floating_input(generator):
    vae = tiny()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        z = vae.encode(torch.rand(1, 3, 8, 8, generator=generator)).mode()
        assert z.dtype == torch.bfloat16
        assert vae.decode(z).shape == (1, 3, 8, 8)
        with pytest.raises(ValueError, match=r"must be torch\.float32"):
            vae.encode(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_gradient_checkpointing_computes_layers_again_for_the_same_gradients(generator):
    vae, x = tiny(), torch.rand(2, 3, 16, 16, generator=generator)
    calls, gradients = [], []
    vae.encoder.conv_in.register_forward_pre_hook(lambda *_: calls.append("in"))
    vae.decoder.conv_out.register_forward_pre_hook(lambda *_: calls.append("out"))
    for on in (False, True):
        vae.gradient_checkpointing = on
        assert vae.gradient_checkpointing == on
        vae(x).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in vae.parameters()])
        vae.zero_grad()
    torch.testing.assert_close(*gradients)
    assert calls.count("in") == calls.count("out") == 3


@pytest.mark.parametrize("block", ["simple", "sd"])
def test_inference_gives_what_training_computes(block, generator):
    vae, x = tiny(block=block), torch.rand(2, 3, 16, 16, generator=generator)
    kept = x.clone()
    with torch.no_grad():
        result = vae(x)
    torch.testing.assert_close(result, vae(x).detach(), rtol=1e-5, atol=1e-5)
    assert torch.equal(x, kept)
