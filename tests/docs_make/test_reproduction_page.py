"""The page of settings is what its script makes; its paths lead somewhere, and its other values can be given."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from docs.make.reproduction_page import (
    PAGE,
    PLACES,
    Setting,
    changed,
    follow,
    holder,
    markdown,
    ours,
    read_settings,
    root,
    set_by,
    step,
)
from pmrf_blocks.attention import neighborhood_attention_2d
from pmrf_blocks.experiments import Net
from pmrf_blocks.experiments.costs import forward_flops, window_products

ROWS = [setting for settings in read_settings().values() for setting in settings]
PATHS = [setting for setting in ROWS if setting.path]
CHANGES = [setting for setting in ROWS if setting.change]


def name(setting):
    return setting.path


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == markdown(), "run python -m docs.make.reproduction_page"


def test_there_is_something_to_check():
    assert len(PATHS) > 80
    assert len(CHANGES) > 80


@pytest.mark.parametrize("setting", PATHS, ids=name)
def test_every_path_leads_to_a_value(setting):
    ours(setting)
    assert not setting.where, "where a path is set is found, not written down"
    if setting.split[0] not in PLACES:
        file = set_by(setting).split("`")[1].split(":")[0]
        assert file.startswith("recipes/") == (Path(PAGE).parents[1] / file).is_file()


@pytest.mark.parametrize("setting", CHANGES, ids=name)
def test_every_other_value_can_be_given_and_is_another(setting):
    other = changed(setting)
    own = holder(setting)
    assert other != own
    (argument,) = setting.change
    assert argument == setting.split[1][-1]
    assert step(other, argument) == setting.change[argument] != step(own, argument)


def test_a_row_without_path_says_where_it_is():
    for setting in ROWS:
        assert setting.path or setting.where, setting.name


def test_a_path_that_leads_nowhere_fails():
    with pytest.raises(AttributeError):
        follow(root("sim_vae"), ["train", "no_such_field"])
    with pytest.raises(AttributeError):
        follow(root("latent_pmrf"), ["velocity", "no_such_argument"])
    with pytest.raises(ModuleNotFoundError):
        root("no_such_recipe")


def test_a_changed_recipe_changes_the_row():
    setting = next(setting for setting in ROWS if setting.path == "sim_vae:train.betas")
    other = replace(root("sim_vae"), train=replace(root("sim_vae").train, betas=(0.5, 0.6)))
    assert follow(other, setting.split[1]) == (0.5, 0.6) != ours(setting)


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("sim_vae:network.latent_channels", "recipes/sim_vae.py:paper"),  # positional
        ("latent_pmrf:velocity.levels.*.width", "recipes/latent_pmrf.py:paper"),  # in a class within a class
        ("elir:source_noise", "recipes/elir.py:elir"),  # by replace(), in another function
        ("sim_vae:train.precision", "default of `TrainConfig`"),
        ("blind-face:sigma", "default of `BlindFaceDegradation`"),
    ],
)
def test_where_a_setting_is_set_is_found(path, where):
    assert where in set_by(Setting("", "", "", "{" + path + "}", "", "", ""))


def test_operations_are_counted():
    """A convolution of 3x3, 4 to 8 channels, on 10x10 pixels: two for each product."""
    parameters, flops = forward_flops(lambda: nn.Conv2d(4, 8, 3, padding=1), (1, 4, 10, 10))
    assert parameters == 4 * 8 * 9 + 8
    assert flops == 2 * 100 * 4 * 8 * 9


def test_neighborhood_attention_is_counted_by_its_windows():
    class Attention(nn.Module):
        def forward(self, x):
            return neighborhood_attention_2d(x, x, x, 3, backend=window_products)

    _, flops = forward_flops(Attention, (2, 5, 6, 4, 8))
    assert flops == 2 * 2 * (2 * 5 * 6 * 4) * 9 * 8


def test_networks_are_built_without_memory():
    class Check(nn.Module):
        def forward(self, x):
            assert x.device == torch.device("meta")
            return x

    assert forward_flops(Check, (1, 3, 9999, 9999)) == (0, 0)


def test_nets_tell_their_arguments_and_their_class():
    net = Net(nn.Linear, 3, 4)
    assert (step(net, "in_features"), step(net, "kind")) == (3, nn.Linear)
