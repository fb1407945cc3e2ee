"""How unbalanced feature maps are: values known beforehand, every layer recorded, nothing left behind."""

import pytest
import torch

from pmrf_blocks.autoencoders import SDVAE, SimVAE, feature_balance, feature_magnitudes
from pmrf_blocks.autoencoders.balance import energy_share, magnitudes, peak_over_median

TINY = {"channels": (8, 16), "blocks_per_level": 1, "middle_blocks": 2}


def build(**changes):
    torch.manual_seed(0)
    return SimVAE(4, **{**TINY, **changes}).eval()


def test_magnitude_is_the_root_mean_square_over_channels():
    features = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1).expand(1, 2, 5, 6)
    torch.testing.assert_close(magnitudes(features), torch.full((1, 5, 6), 12.5**0.5))


def test_equal_and_unequal_maps():
    maps = torch.ones(3, 10, 20)
    maps[1, 4, 4] = 9.0
    maps[2] = 0.0  # a dead map is not unbalanced
    torch.testing.assert_close(peak_over_median(maps), torch.tensor([1.0, 9.0, 1.0]))
    # Two of 200 pixels are the strongest 1 %.
    torch.testing.assert_close(energy_share(maps), torch.tensor([0.01, 82.0 / 280.0, 0.01]))
    maps[0] = 0.0
    maps[0, 0, 0] = 1.0
    assert peak_over_median(maps)[0] == torch.inf
    assert energy_share(maps)[0] == 1.0


def test_scale_does_not_matter(generator):
    maps = torch.rand(2, 9, 9, generator=generator)
    for measure in (peak_over_median, energy_share):
        torch.testing.assert_close(measure(maps), measure(1000.0 * maps))


@pytest.mark.parametrize("kind", [SimVAE, SDVAE])
def test_every_layer_once_in_the_order_of_computation(kind):
    torch.manual_seed(0)
    vae = kind(4, **{**TINY, "middle_blocks": 3, "norm_groups": 4}).eval()
    images = torch.rand(2, 3, 16, 24) * 2 - 1
    maps = feature_magnitudes(vae, images)
    middle = ["resnets.0", "attentions.0", "resnets.1"] if kind is SDVAE else ["resnets.0", "resnets.1", "resnets.2"]
    assert list(maps) == [
        "encoder.conv_in", "encoder.down_blocks.0.resnets.0", "encoder.down_blocks.0.downsampler",
        "encoder.down_blocks.1.resnets.0", *(f"encoder.mid_block.{name}" for name in middle), "latent",
        "decoder.conv_in", *(f"decoder.mid_block.{name}" for name in middle), "decoder.up_blocks.0.resnets.0",
        "decoder.up_blocks.0.resnets.1", "decoder.up_blocks.0.upsampler", "decoder.up_blocks.1.resnets.0",
        "decoder.up_blocks.1.resnets.1",
    ]  # fmt: skip
    torch.testing.assert_close(maps["latent"], magnitudes(vae.encode(images).mean))
    torch.testing.assert_close(maps["encoder.conv_in"], magnitudes(vae.encoder.conv_in(images)))
    assert not any(module._forward_hooks for module in vae.modules())


def test_batches_do_not_matter_and_hooks_go_after_an_error():
    vae, images = build(), torch.rand(5, 3, 16, 16) * 2 - 1
    for one, other in zip(feature_balance(vae, images, batch_size=2), feature_balance(vae, images)):
        assert one.layer == other.layer
        assert one.peak == pytest.approx(other.peak, rel=1e-5)
        assert one.share == pytest.approx(other.share, rel=1e-5)
    with pytest.raises(ValueError, match="images must be"):
        feature_magnitudes(vae, images[:, :1])
    assert not any(module._forward_hooks for module in vae.modules())


def test_an_outlier_is_found_where_it_is():
    """One bright pixel planted after the first residual block shows from there on, and nowhere before."""
    vae, images = build(), torch.rand(1, 3, 32, 32) * 2 - 1

    def plant(module, inputs, output):
        output[..., 3, 3] *= 100.0
        return output

    before = {layer.layer: layer for layer in feature_balance(vae, images)}
    handle = vae.encoder.down_blocks[0].resnets[0].register_forward_hook(plant)
    after = {layer.layer: layer for layer in feature_balance(vae, images)}
    handle.remove()
    assert after["encoder.conv_in"] == before["encoder.conv_in"]
    found = after["encoder.down_blocks.0.resnets.0"]
    assert found.peak > 20 * before["encoder.down_blocks.0.resnets.0"].peak
    assert found.share > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"), [({"layers": "nothing"}, "no layer's name"), ({"batch_size": 0}, "at least 1")]
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        feature_balance(build(), torch.zeros(1, 3, 8, 8), **arguments)
