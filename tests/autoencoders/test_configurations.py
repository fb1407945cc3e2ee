"""Every setting of diffusers' AutoencoderKL is honoured, kept or refused; weights in every file that people have."""

import inspect
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from pmrf_blocks.autoencoders import SDVAE, SimVAE, load_autoencoder, save_diffusers
from pmrf_blocks.autoencoders.configurations import KL_DEFAULTS, read_kl
from pmrf_blocks.pretrained import WeightsError

diffusers = pytest.importorskip("diffusers")
SIZE = {
    "block_out_channels": [32, 32], "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
}  # fmt: skip
WEIGHTS = "diffusion_pytorch_model.safetensors"
# One other value of every setting, and whether our networks have it: else it is refused by its name.
OTHER = {
    "in_channels": (4, False), "out_channels": (4, False), "down_block_types": (["AttnDownEncoderBlock2D"] * 2, False),
    "up_block_types": (["AttnUpDecoderBlock2D"] * 2, False), "block_out_channels": ([32, 64], True),
    "layers_per_block": (2, True), "act_fn": ("gelu", False), "latent_channels": (6, True),
    "norm_num_groups": (8, True), "sample_size": (512, True), "scaling_factor": (0.5, True),
    "shift_factor": (0.25, True), "latents_mean": ([0.0] * 4, False), "latents_std": ([1.0] * 4, False),
    "force_upcast": (False, True), "use_quant_conv": (False, False), "use_post_quant_conv": (False, False),
    "mid_block_add_attention": (False, True),
}  # fmt: skip


def theirs(**settings):
    torch.manual_seed(0)
    return diffusers.AutoencoderKL(**{**SIZE, **settings}).eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with all defaults but the sizes."""
    folder = tmp_path_factory.mktemp("saved")
    theirs().save_pretrained(folder)
    return folder


def folder_with(saved, to, **settings):
    """A copy of `saved` whose config.json says only SIZE and `settings`."""
    shutil.copytree(saved, to)
    (to / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL", **SIZE, **settings}))
    return to


def images():
    return torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1


def assert_same(ours, other):
    with torch.no_grad():
        z = other.encode(images()).latent_dist
        torch.testing.assert_close(ours.encode(images()).mean, z.mean, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.decode(z.mean), other.decode(z.mean).sample, rtol=1e-5, atol=1e-5)


def test_the_defaults_are_diffusers_and_every_setting_is_looked_at():
    signature = list(inspect.signature(diffusers.AutoencoderKL.__init__).parameters.values())[1:]
    defaults = {p.name: list(p.default) if isinstance(p.default, tuple) else p.default for p in signature}
    assert defaults == KL_DEFAULTS
    assert OTHER.keys() == KL_DEFAULTS.keys()


def test_what_is_absent_takes_diffusers_default(saved, tmp_path):
    ours = load_autoencoder(folder_with(saved, tmp_path / "vae"))
    assert (ours.scaling_factor, ours.shift_factor, ours.latent_channels) == (0.18215, 0.0, 4)
    assert_same(ours, theirs())


@pytest.mark.parametrize("name", OTHER)
def test_every_setting_is_honoured_kept_or_refused(name, tmp_path):
    value, ours_has_it = OTHER[name]
    if not ours_has_it:
        with pytest.raises(ValueError, match=name):
            read_kl({**SIZE, name: value})
        return
    other = theirs(**{name: value})
    other.save_pretrained(tmp_path / "theirs")
    ours = load_autoencoder(tmp_path / "theirs")
    assert_same(ours, other)
    scale, shift = other.config.scaling_factor, other.config.shift_factor or 0.0
    assert (ours.scaling_factor, ours.shift_factor) == (scale, shift)
    ours.save_pretrained(tmp_path / "ours")  # our own layout keeps what diffusers' has besides
    save_diffusers(load_autoencoder(tmp_path / "ours"), tmp_path / "again")
    first, last = (json.loads((tmp_path / where / "config.json").read_text()) for where in ("theirs", "again"))
    assert {key: last.get(key) for key in first} == first
    again = diffusers.AutoencoderKL.from_pretrained(tmp_path / "again").eval()
    assert_same(ours, again)
    assert {key: again.config[key] for key in KL_DEFAULTS} == {key: other.config[key] for key in KL_DEFAULTS}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temporal_layers": 2}, "temporal_layers: what it does is not known here"),
        ({"down_block_types": ["DownEncoderBlock2D"]}, "down_block_types must name one for each of 2"),
        ({"norm_num_groups": 24}, "norm_num_groups must divide"),
        ({"scaling_factor": None}, "scaling_factor must be a number; got None"),
        ({"shift_factor": "0"}, "shift_factor must be a number; got '0'"),
        ({"act_fn": ["silu"]}, "act_fn must be 'silu'"),
    ],
)
def test_what_diffusers_would_not_build_or_we_do_not_know(settings, message, saved, tmp_path):
    with pytest.raises(WeightsError, match=message):
        load_autoencoder(folder_with(saved, tmp_path / "vae", **settings))


def test_swish_is_silu_and_stays_swish(saved, tmp_path):
    ours = load_autoencoder(folder_with(saved, tmp_path / "vae", act_fn="swish"))
    assert_same(ours, theirs(act_fn="swish"))
    save_diffusers(ours, tmp_path / "again")
    assert json.loads((tmp_path / "again/config.json").read_text())["act_fn"] == "swish"


def test_attention_as_1x1_convolutions(saved, tmp_path):
    folder = folder_with(saved, tmp_path / "vae")
    state = load_file(folder / WEIGHTS)
    projections = [key for key in state if ".to_" in key and key.endswith("weight")]
    assert len(projections) == 8
    save_file({**state, **{key: state[key][..., None, None].clone() for key in projections}}, folder / WEIGHTS)
    assert_same(load_autoencoder(folder), theirs())


def test_shards_variants_and_a_path_of_a_file(saved, tmp_path):
    theirs().save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    assert len(list((tmp_path / "shards").glob("*-of-*.safetensors"))) > 1
    assert_same(load_autoencoder(tmp_path / "shards"), theirs())
    theirs().save_pretrained(tmp_path / "fp16", variant="fp16")
    assert_same(load_autoencoder(tmp_path / "fp16", variant="fp16"), theirs())
    with pytest.raises(WeightsError, match=r"not found; there is variant 'fp16': pass variant='fp16'"):
        load_autoencoder(tmp_path / "fp16")
    theirs().save_pretrained(tmp_path / "both", variant="fp16", max_shard_size="100KB")
    assert_same(load_autoencoder(tmp_path / "both", variant="fp16"), theirs())
    assert_same(load_autoencoder(saved / WEIGHTS), theirs())
    half = load_autoencoder(saved, dtype=torch.bfloat16)
    assert (half.dtype, half.encode(images().bfloat16()).mean.dtype) == (torch.bfloat16, torch.bfloat16)


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "other.safetensors", 3, None])
def test_a_shard_is_a_file_of_its_folder(name, saved, tmp_path):
    folder = folder_with(saved, tmp_path / "vae")
    (folder / WEIGHTS).unlink()
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": {"a": name} if name else None}))
    with pytest.raises(WeightsError, match=r"names a shard|is no list of shards"):
        load_autoencoder(folder)


def sd(**changes):
    return SDVAE(4, **{"channels": (32, 32), "blocks_per_level": 1, **changes})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: SimVAE(4, channels=(8, 16)), "norm is 'layer', where it has 'group'; kind='AutoencoderKLSim' can"),
        (lambda: sd(residual=True), r"neither .* can hold this network: residual is True"),
        (lambda: sd(norm=torch.nn.InstanceNorm2d), "neither .* norm is <class"),
        (lambda: sd(channels=(8, 16)), "neither .* norm_groups is 32, where it has 8"),
        (lambda: sd(middle_blocks=4), "neither .* middle_blocks is 4, where it has 3"),
        (lambda: sd(middle="conv", middle_blocks=3), "neither .* middle_blocks is 3, where it has 2"),
        (lambda: changed(sd()), "layers were changed after it was built: decoder.conv_out"),
        (lambda: type("Mine", (SDVAE,), {})(4, channels=(32, 32), blocks_per_level=1), "Mine is a class of one's own"),
    ],
)
def test_what_diffusers_cannot_represent_is_refused(model, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        save_diffusers(model(), tmp_path / "vae")
    assert not (tmp_path / "vae").exists()


def changed(model):
    model.decoder.conv_out = torch.nn.utils.parametrizations.weight_norm(model.decoder.conv_out)
    return model


def test_likelihood_equals_diffusers(saved):
    ours, other = load_autoencoder(saved), theirs()
    with torch.no_grad():
        posterior, peer = ours.encode(images()), other.encode(images()).latent_dist
    z = torch.randn(peer.mean.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(posterior.nll(z), peer.nll(z), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(posterior.kl(), peer.kl(), rtol=1e-4, atol=1e-3)
