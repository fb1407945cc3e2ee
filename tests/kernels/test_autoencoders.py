"""Autoencoders after optimize(): the same network, saved under the same name, plain where gradients are taken."""

import copy
import json

import pytest
import torch
from torch import nn

from pmrf_blocks.autoencoders import SDVAE, SimVAE, load_autoencoder
from pmrf_blocks.autoencoders.norms import ChannelLayerNorm
from pmrf_blocks.kernels import optimize, restore_plain, swap
from pmrf_blocks.kernels.autoencoders import FastDecoder, FastSimpleResBlock, TritonChannelLayerNorm

TINY = {"channels": (8, 16), "blocks_per_level": 1, "middle_blocks": 1}


def build(kind=SimVAE, **changes):
    torch.manual_seed(0)
    return kind(4, **{**TINY, **changes}).eval().to(memory_format=torch.channels_last)


def images(size=48):
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("changes", [{}, {"residual": True}, {"block": "sd", "resize": "separate", "quant_conv": True}])
def test_results_stay_and_a_model_is_saved_loaded_and_copied(changes, tmp_path):
    vae, x = build(**changes), images()
    with torch.no_grad():
        expected = vae(x)
        report = optimize(vae)
        assert {swap.plain for swap in report.swapped} >= {"Encoder", "Decoder", "NearestUpsample"}
        assert report.left == ()
        result = vae(x)
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)
        z = vae.encode_tiled(x, tile=16).mean
        torch.testing.assert_close(vae.decode_tiled(z, tile=8)[..., :48, :48], expected, rtol=1e-5, atol=1e-5)
        again = copy.deepcopy(vae)
        assert type(again.decoder) is FastDecoder
        assert torch.equal(again(x), result)
        vae.save_pretrained(tmp_path)
        assert json.loads((tmp_path / "config.json").read_text())["class"] == "SimVAE"
        loaded = load_autoencoder(tmp_path)
        assert not any(type(module).__module__.startswith("pmrf_blocks.kernels") for module in loaded.modules())
        torch.testing.assert_close(loaded(x), expected, rtol=1e-5, atol=1e-5)
        restore_plain(vae)
        torch.testing.assert_close(vae(x), expected, rtol=0, atol=0)


def test_training_goes_the_plain_way():
    vae, x = build(), images()
    vae(x).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in vae.parameters()]
    vae.zero_grad()
    optimize(vae)
    vae(x).square().sum().backward()
    assert all(torch.equal(parameter.grad, grad) for parameter, grad in zip(vae.parameters(), expected))


def test_a_norm_of_one_s_own_stays_in_a_faster_block():
    vae, x = build(norm=nn.InstanceNorm2d), images()
    with torch.no_grad():
        expected = vae(x)
        optimize(vae)
        assert type(vae.decoder.mid_block.resnets[0]) is FastSimpleResBlock
        torch.testing.assert_close(vae(x), expected, rtol=1e-5, atol=1e-5)


def test_a_block_alone_under_autocast_gives_the_plain_one_s_dtype():
    block, x = build().encoder.mid_block.resnets[0], torch.randn(1, 16, 8, 8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = block(x)
        optimize(block)
        assert block(x).dtype == expected.dtype == torch.float32


def test_triton_s_norm_is_taken_by_name_alone(monkeypatch):
    monkeypatch.setattr(swap, "why_missing", lambda: None)
    vae = build(SDVAE, norm="layer", middle="conv")
    optimize(vae)
    assert {type(module) for module in vae.modules() if isinstance(module, nn.LayerNorm)} == {ChannelLayerNorm}
    optimize(vae, triton=True)
    assert {type(module) for module in vae.modules() if isinstance(module, nn.LayerNorm)} == {TritonChannelLayerNorm}
    plain = build(SDVAE, norm="layer", middle="conv")
    with torch.no_grad():  # no kernel takes tensors of a CPU
        torch.testing.assert_close(vae(images()), plain(images()), rtol=1e-5, atol=1e-5)
