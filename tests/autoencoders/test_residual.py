"""Residual resizing: shortcuts without parameters, by the published definition, exact in tiles."""

import pytest
import torch
from torch import nn

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.autoencoders.resize import channel_to_space, match_channels, space_to_channel


def small(**arguments):
    torch.manual_seed(0)
    return SimVAE(8, channels=(16, 32, 48), blocks_per_level=1, middle_blocks=1, **arguments).eval()


def test_space_to_channel_averages_groups_of_the_four_pixels():
    x = torch.arange(32.0).view(1, 2, 4, 4)
    y = space_to_channel(x, 4)  # eight channels, two to a group: upper and lower half of each square
    expected = torch.stack(
        (x[:, :, ::2].unflatten(-1, (2, 2)).mean(-1), x[:, :, 1::2].unflatten(-1, (2, 2)).mean(-1)), 2
    )
    assert torch.equal(y, expected.flatten(1, 2))


def test_channel_to_space_deals_out_channels():
    x = torch.arange(4.0).view(1, 4, 1, 1)
    assert torch.equal(channel_to_space(x, 1), torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]))
    assert torch.equal(channel_to_space(x, 2)[0, :, 0], torch.tensor([[0.0, 0.0], [2.0, 2.0]]))


@pytest.mark.parametrize(("have", "want"), [(3, 32), (32, 3), (5, 7), (12, 5), (6, 6)])
def test_channels_keep_a_constant(have, want):
    assert torch.allclose(match_channels(torch.full((2, have, 3, 3), 0.7), want), torch.full((2, want, 3, 3), 0.7))


def test_without_weights_a_constant_image_comes_back():
    vae = small(residual=True)
    for module in vae.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    x = torch.full((1, 3, 16, 16), 0.25)
    posterior = vae.encode(x)
    assert torch.allclose(vae.decode(posterior.mode()), x, atol=1e-6)
    assert torch.count_nonzero(posterior.logvar) == 0


@pytest.mark.parametrize("upsample", ["nearest", "pixel_shuffle"])
@pytest.mark.parametrize("resize", ["fused", "separate"])
def test_as_many_parameters_and_exact_tiles(upsample, resize, recwarn):
    vae = small(residual=True, upsample=upsample, resize=resize)
    plain = small(upsample=upsample, resize=resize)
    assert {k: v.shape for k, v in vae.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}
    x = torch.rand(1, 3, 72, 56) * 2 - 1
    with torch.no_grad():
        z = vae.encode(x).mean
        assert not torch.allclose(z, plain.encode(x).mean, atol=1e-2)
        torch.testing.assert_close(vae.encode_tiled(x, tile=16).mean, z, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(vae.decode_tiled(z, tile=4), vae.decode(z), atol=1e-5, rtol=1e-5)
    assert not recwarn.list


def test_saved_and_loaded(tmp_path):
    vae = small(residual=True)
    vae.save_pretrained(tmp_path)
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(SimVAE.from_pretrained(tmp_path)(x), vae(x))
