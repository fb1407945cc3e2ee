"""A network in a configuration: arguments that are checked where they are written, starts that are reproducible."""

import functools

import pytest
import torch
from torch import nn

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.estimators import UNet
from pmrf_blocks.experiments import Net, config_hash, describe
from pmrf_blocks.transformers import HourglassTransformer, latent_pmrf_hdit
from recipes import sim_vae


class Mine(nn.Module):
    """A network of one's own."""

    def __init__(self, width: int, scale: float = 0.5) -> None:
        super().__init__()
        self.layer, self.scale = nn.Conv2d(3, width, 1), scale


def test_arguments_that_came_later_are_another_run_only_where_they_say_something():
    own = Net(HourglassTransformer, in_channels=32)
    assert config_hash(own) == config_hash(own.changed(merge="linear", patches="linear", bias=False, zero_output=True))
    changes = ({"merge": "conv"}, {"patches": "conv"}, {"bias": True}, {"zero_output": False})
    hashes = {config_hash(own.changed(**change)) for change in ({}, *changes)}
    assert len(hashes) == 5
    assert not {"merge", "patches", "bias", "zero_output"} & describe(own).keys()


def test_a_misspelt_argument_fails_where_it_is_written():
    with pytest.raises(TypeError, match="SimVAE: got an unexpected keyword argument 'chanels'; its arguments"):
        Net(SimVAE, 32, chanels=(8, 8))
    with pytest.raises(TypeError, match="Mine: missing a required argument: 'width'"):
        Net(Mine, scale=1.0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nrom'"):
        Net(SimVAE, 32).changed(nrom="group")
    with pytest.raises(TypeError, match="takes any argument, so none can be checked"):
        Net(latent_pmrf_hdit, levles=())


def test_arguments_are_all_there_and_a_change_is_of_one():
    network = Net(Mine, 4)
    assert network.arguments == {"width": 4, "scale": 0.5}
    assert network.changed(scale=2.0).arguments == {"width": 4, "scale": 2.0}
    assert Net(Mine, width=4) == network
    assert network.build(0).scale == 0.5


def test_networks_start_from_their_seed_and_spare_the_global_generator():
    network = sim_vae.debug().network
    before = torch.get_rng_state()
    a, b, other = (network.build(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    key = "encoder.conv_in.weight"
    assert torch.equal(a[key], b[key])
    assert not torch.equal(a[key], other[key])


def test_ones_own_network_is_saved_and_found(tmp_path):
    from pmrf_blocks.training.export import export

    network = Net(Mine, 4).build(3)
    export(network, tmp_path / "model")
    again = Net(Mine, 4).load(tmp_path / "model")
    assert torch.equal(again.layer.weight, network.layer.weight)


def test_the_hash_covers_defaults_and_the_code_of_ones_own(tmp_path, monkeypatch):
    assert describe(Net(UNet))["unshuffle"] == UNet().config["unshuffle"]
    assert config_hash(Net(UNet)) != config_hash(Net(UNet).changed(unshuffle=4))
    monkeypatch.syspath_prepend(tmp_path)
    hashes = []
    for number, code in enumerate(("x", "2.0 * x", "2.0 * x  # the same")):
        path = tmp_path / f"norm_of_mine_{number}.py"
        head = "from torch import nn\n\n\nclass MyNorm(nn.Module):\n    def forward(self, x):\n"
        path.write_text(f"{head}        return {code}\n")
        module = __import__(path.stem)
        hashes.append(describe(Net(SimVAE, 4, norm=module.MyNorm))["norm"])
    assert hashes[0]["class"] == hashes[1]["class"] == "MyNorm"
    assert hashes[0]["source"] != hashes[1]["source"] == hashes[2]["source"]
    assert "source" not in describe(Net(SimVAE, 4))


def test_what_cannot_be_told_is_refused():
    with pytest.raises(TypeError, match="write down its class and arguments"):
        describe({"norm": nn.LayerNorm(4)})
    assert describe(functools.partial(Mine, 4))["source"]
