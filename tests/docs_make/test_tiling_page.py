"""The page about tiles: exact networks are exact there too, and the others are not."""

import pytest
import torch

from docs.make.tiling_page import NETWORKS, Arguments, errors, page, random, reason


def test_what_is_called_exact_is_and_what_is_not_is_measured():
    images = torch.rand(1, 3, 48, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    small = {"channels": (8, 16), "latent_channels": 4}
    for changes, why in (({}, None), ({"norm": "group"}, "group norm"), ({"middle": "attention"}, "self-attention")):
        model = random(**small, **changes)
        encoder, decoder = errors(model, images, 8)
        if why is None:
            assert reason(model) is None
            assert max(encoder, decoder) < 1e-5
        else:
            assert why in str(reason(model))
            assert min(encoder, decoder) > 1e-5


def test_the_page_tells_each_network():
    rows = {"a": (None, [(0.0, 2e-7)]), "b": ("group norm sees all", [(0.012, 0.5)])}
    text = page(rows, Arguments(data=None, tiles=(64,)), 1, "abc")
    assert "| a | 0 | 2.0e-07 | nothing: exact |" in text
    assert "| b | 1.2 % | 50.0 % | group norm sees all |" in text
    assert "1 image at 256x256" in text


@pytest.mark.parametrize("name", [name for name in NETWORKS if "trained" not in name])
def test_random_networks_are_the_same_each_time_and_leave_the_global_state_alone(name):
    state = torch.get_rng_state()
    with torch.device("meta"):
        assert NETWORKS[name]().latent_channels == 32
    assert torch.equal(state, torch.get_rng_state())
