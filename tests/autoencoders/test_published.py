"""Published layouts against diffusers itself, with tiny random networks."""

import json

import pytest
import torch

from pmrf_blocks.autoencoders import SDVAE, SimVAE, load_autoencoder, save_diffusers
from pmrf_blocks.autoencoders.configurations import read_sim
from pmrf_blocks.autoencoders.published import rename
from pmrf_blocks.pretrained import WeightsError

diffusers = pytest.importorskip("diffusers")
TINY = {"channels": (8, 16, 16), "blocks_per_level": 1, "norm_groups": 4}


def theirs(**changes):
    torch.manual_seed(0)
    arguments = {
        "block_out_channels": (8, 16, 16), "layers_per_block": 1, "latent_channels": 4, "norm_num_groups": 4,
        "down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3, **changes,
    }  # fmt: skip
    model = diffusers.AutoencoderKL(**arguments).eval()
    for parameter in model.parameters():  # also of norms, which are all one and zero otherwise
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def assert_same(ours, other, size=(24, 32)):
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        posterior = other.encode(x).latent_dist
        torch.testing.assert_close(ours.encode(x).mean, posterior.mean, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.encode(x).std, posterior.std, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            ours.decode(posterior.mean), other.decode(posterior.mean).sample, rtol=1e-5, atol=1e-5
        )


PUBLISHED = {
    "SD1.5": {"scaling_factor": 0.18215},
    "SDXL": {"scaling_factor": 0.13025, "force_upcast": False},
    "FLUX.1": {"latent_channels": 16, "scaling_factor": 0.3611, "shift_factor": 0.1159},
    "without attention": {"mid_block_add_attention": False},
}


@pytest.mark.parametrize("quant_conv", [False, True])
@pytest.mark.parametrize("name", PUBLISHED)
def test_autoencoder_kl_loads_and_equals_diffusers(name, quant_conv, tmp_path):
    """The published ones have the quant convolutions (SD1.5, SDXL) or not (FLUX.1); both are tried with each."""
    other = theirs(**PUBLISHED[name], use_quant_conv=quant_conv, use_post_quant_conv=quant_conv)
    other.save_pretrained(tmp_path / "vae")
    ours = load_autoencoder(tmp_path, subfolder="vae")
    assert isinstance(ours, SDVAE)
    assert_same(ours, other)
    z = torch.randn(1, ours.latent_channels, 2, 2)
    shift = other.config.shift_factor or 0.0
    torch.testing.assert_close(ours.normalize(z), (z - shift) * other.config.scaling_factor)


@pytest.mark.parametrize(
    ("latent_channels", "quant_conv"), [(4, True), (16, False), (32, False)], ids=["SD1.5 and SDXL", "FLUX.1", "f8c32"]
)
def test_the_whole_size_has_their_names_and_shapes(latent_channels, quant_conv):
    with torch.device("meta"):
        other = diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=latent_channels,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            use_quant_conv=quant_conv, use_post_quant_conv=quant_conv,
        )  # fmt: skip
        ours = SDVAE(latent_channels, quant_conv=quant_conv)
    shapes = {key: value.shape for key, value in rename(other.state_dict()).items()}
    assert shapes == {key: value.shape for key, value in ours.state_dict().items()}


def test_the_older_bin_file_is_read(tmp_path):
    other = theirs()
    other.save_pretrained(tmp_path, safe_serialization=False)
    assert (tmp_path / "diffusion_pytorch_model.bin").is_file()
    assert_same(load_autoencoder(tmp_path), other)


class Payload:
    """What a hostile file would hold: code that runs when it is unpickled."""

    def __reduce__(self):
        return (exec, ("import pathlib; pathlib.Path('ran').touch()",))


@pytest.mark.parametrize("content", [Payload(), {"encoder.conv_in.weight": Payload()}, [1.0, 2.0]])
def test_a_pickle_that_is_not_weights_is_refused(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    theirs().save_pretrained(tmp_path)
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(content, tmp_path / "diffusion_pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"model\.bin (is not a file of weights alone|holds a list, not weights)"):
        load_autoencoder(tmp_path)
    # Nor under the name of a safe file, nor in place of the folder.
    (tmp_path / "diffusion_pytorch_model.bin").rename(tmp_path / "diffusion_pytorch_model.safetensors")
    with pytest.raises(WeightsError, match="damaged or not safetensors"):
        load_autoencoder(tmp_path)
    with pytest.raises(WeightsError, match="damaged or not safetensors"):
        load_autoencoder(tmp_path / "diffusion_pytorch_model.safetensors")
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="is a file; a model is a folder"):
        load_autoencoder(tmp_path / "model.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("quant_conv", [False, True])
@pytest.mark.parametrize("middle", ["attention", "conv"])
def test_diffusers_loads_what_we_save(quant_conv, middle, tmp_path):
    torch.manual_seed(0)
    blocks = 3 if middle == "attention" else 2
    ours = SDVAE(4, **TINY, quant_conv=quant_conv, middle=middle, middle_blocks=blocks, scaling_factor=0.5).eval()
    save_diffusers(ours, tmp_path)
    other = diffusers.AutoencoderKL.from_pretrained(tmp_path).eval()
    assert_same(ours, other)
    assert other.config.scaling_factor == 0.5
    again = load_autoencoder(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), again.state_dict().values()))


def test_attention_names_of_old_files(tmp_path):
    from safetensors.torch import load_file, save_file

    other = theirs()
    other.save_pretrained(tmp_path)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename(key):
        for new, name in old.items():
            key = key.replace(f"attentions.0.{new}.", f"attentions.0.{name}.")
        return key

    state = {rename(key): value for key, value in load_file(path).items()}
    assert any(".proj_attn." in key for key in state)
    save_file(state, path)
    assert_same(load_autoencoder(tmp_path), other)


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("upsample", ["nearest", "pixel_shuffle"])
def test_sim_vae_in_its_published_layout(norm, upsample, tmp_path):
    """config.json as the official release has it; the keys are checked against the published names elsewhere."""
    torch.manual_seed(0)
    source = SimVAE(4, channels=(8, 16), blocks_per_level=1, middle_blocks=2, norm=norm, upsample=upsample).eval()
    save_diffusers(source, tmp_path, kind="AutoencoderKLSim")
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["_class_name"] == "AutoencoderKLSim"
    assert config["norm_type"] == f"{norm}_norm"
    assert config["upsample_method"] == {"nearest": "interpolate"}.get(upsample, upsample)
    assert config["shift_factor"] is None
    config |= {"scaling_factor": None, "force_upcast": True, "sample_size": 32}  # as files of the wild may have
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours = load_autoencoder(tmp_path)
    x = torch.rand(1, 3, 16, 24) * 2 - 1
    with torch.no_grad():
        assert torch.equal(ours(x), source(x))
    assert (ours.scaling_factor, ours.shift_factor) == (1.0, 0.0)


# The official release's config.json, as far as it decides the network.
OFFICIAL = {
    "_class_name": "AutoencoderKLSim", "block_out_channels": [128, 256, 512, 512], "mid_block_out_channel": 512,
    "layers_per_block": 2, "layers_mid_block": 3, "norm_type": "layer_norm", "norm_pos": "pre_norm",
    "upsample_method": "interpolate", "scaling_factor": 1.0, "shift_factor": None,
}  # fmt: skip


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize(
    ("latent_channels", "upsample_method", "parameters"),
    [
        (16, "interpolate", 90_809_379),
        (32, "interpolate", 91_030_595),
        # Three enlarging convolutions of 512, 512, 256 to 512, 256, 128 channels become four times as wide.
        (32, "pixel_shuffle", 91_030_595 + 3 * sum(a * b * 9 + b for a, b in ((512, 512), (512, 256), (256, 128)))),
    ],
)
def test_the_official_release_at_its_size(latent_channels, upsample_method, parameters, norm):
    config = {
        **OFFICIAL, "latent_channels": latent_channels, "upsample_method": upsample_method, "norm_type": f"{norm}_norm",
    }  # fmt: skip
    with torch.device("meta"):
        vae = read_sim(config)
    assert sum(p.numel() for p in vae.parameters()) == parameters
    assert isinstance(vae.encoder.mid_block.resnets[2].norm, torch.nn.GroupNorm) is (norm == "group")


def test_our_own_layout_loads_too(tmp_path):
    for kind in (SimVAE, SDVAE):
        kind(4, **TINY).save_pretrained(tmp_path / kind.__name__)
        assert type(load_autoencoder(tmp_path / kind.__name__)) is kind


def test_an_ablation_between_the_two_has_no_class_there(tmp_path):
    with pytest.raises(ValueError, match="neither AutoencoderKL nor AutoencoderKLSim"):
        save_diffusers(SimVAE(4, **TINY, block="sd"), tmp_path)


def broken(tmp_path, **changes):
    theirs().save_pretrained(tmp_path)
    config = {**json.loads((tmp_path / "config.json").read_text()), **changes}
    config = {key: value for key, value in config.items() if value != "absent"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_class_name": "VQModel"}, "_class_name must be one of AutoencoderKL, AutoencoderKLSim; got 'VQModel'"),
        (
            {"_class_name": "AutoencoderKLSim", "mid_block_out_channel": 16, "latent_channels": "absent"},
            "'latent_channels' is missing",
        ),
        ({"act_fn": "gelu"}, "act_fn must be 'silu'; got 'gelu'"),
        ({"use_quant_conv": False}, "must be the same"),
        ({"down_block_types": ["AttnDownEncoderBlock2D"] * 3}, "down_block_types must be 'DownEncoderBlock2D'"),
        ({"latent_channels": 8}, "of another shape: encoder.conv_out.weight"),
        ({"layers_per_block": 2}, "missing: encoder.down_blocks.0.resnets.1"),
        ({"mid_block_add_attention": False}, "unexpected: .*attentions"),
        ({"block_out_channels": [8, 16, 10**6]}, "of another shape: encoder.down_blocks.2"),  # and nothing is allocated
        ({"block_out_channels": [8, 16, 10**25]}, "does not describe a network known here"),
        ({"block_out_channels": [8, 16, -16]}, "channels must name at least one positive width"),
        ({"block_out_channels": "wide"}, "does not describe a network known here"),
        ({"latent_channels": "4"}, "does not describe a network known here"),
    ],
)
def test_a_config_that_lies_is_one_clear_error(changes, message, tmp_path):
    with pytest.raises(WeightsError, match=message):
        load_autoencoder(broken(tmp_path, **changes))


def test_the_first_ten_of_many_keys_are_listed(tmp_path):
    folder = broken(tmp_path, layers_per_block=2)
    with pytest.raises(WeightsError) as caught:
        load_autoencoder(folder)
    missing = str(caught.value).split("missing: ")[1].split(";")[0]
    assert missing.endswith(", ...")
    assert len(missing.removesuffix(", ...").split(", ")) == 10


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(WeightsError, match=r"config\.json not found"):
        load_autoencoder(tmp_path)
    theirs().save_pretrained(tmp_path)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="damaged"):
        load_autoencoder(tmp_path)
    path.unlink()
    with pytest.raises(WeightsError, match="not found"):
        load_autoencoder(tmp_path)
