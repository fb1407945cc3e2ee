"""optimize() changes classes, and nothing that a layer holds, is called by, or is saved as."""

import copy
import dataclasses
import json

import pytest
import torch
from torch import nn

from pmrf_blocks.estimators import UNet
from pmrf_blocks.kernels import Report, optimize, restore_plain, swap
from pmrf_blocks.kernels.linear import FastLinear


class FastUNet(UNet):
    plain_class = UNet


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 4, bias=False))
    model.append(model[0])  # shared
    return model


def test_layers_keep_what_they_hold():
    model = network()
    keys, parameters = list(model.state_dict()), list(model.parameters())
    report = optimize(model)
    assert [(item.name, item.plain, item.fast) for item in report.swapped] == [
        ("0", "Linear", "FastLinear"), ("2", "Linear", "FastLinear")
    ]  # fmt: skip
    assert report.left == ()
    assert str(report) == "2 Linear became FastLinear"
    assert [type(layer) for layer in model] == [FastLinear, nn.GELU, FastLinear, FastLinear]
    assert model[3] is model[0]
    assert list(model.state_dict()) == keys
    assert all(a is b for a, b in zip(model.parameters(), parameters))
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.swapped = ()


def test_a_second_call_replaces_what_is_new_and_the_way_back_is_whole():
    model = network()
    optimize(model)
    assert optimize(model) == Report()
    assert str(optimize(model)) == "nothing to replace"
    model.append(nn.Linear(4, 4))
    assert [item.name for item in optimize(model).swapped] == ["4"]
    restore_plain(model)
    assert [type(layer) for layer in model] == [nn.Linear, nn.GELU, nn.Linear, nn.Linear, nn.Linear]
    assert len(optimize(model).swapped) == 3


class OwnLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x) + 1


def test_what_means_more_than_its_class_is_left_alone():
    model = nn.ModuleDict({name: nn.Linear(4, 4) for name in ("before", "after", "back", "wrapped", "weight")})
    model["own"] = OwnLinear(4, 4)
    model["before"].register_forward_pre_hook(lambda *_: None)
    model["after"].register_forward_hook(lambda *_: None)
    model["back"].register_full_backward_hook(lambda *_: None)
    model["wrapped"].forward = lambda x: x
    nn.utils.parametrizations.weight_norm(model["weight"])
    kinds = [type(layer) for layer in model.values()]
    report = optimize(model)
    assert [type(layer) for layer in model.values()] == kinds
    assert {item.name: item.reason for item in report.left} == {
        "before": "it is hooked", "after": "it is hooked", "back": "it is hooked", "wrapped": "its forward() is wrapped"
    }  # fmt: skip
    assert "before (Linear) stays as it is: it is hooked" in str(report)


def test_a_layer_parametrised_after_it_was_replaced_keeps_its_parametrisation():
    model = network()
    x = torch.ones(2, 8)
    optimize(model)
    nn.utils.parametrizations.weight_norm(model[0])
    model[0].parametrizations.weight.original0.data.mul_(2)
    expected = model[0](x)
    optimize(model)
    restore_plain(model)
    assert torch.equal(model[0](x), expected)
    assert nn.utils.parametrize.is_parametrized(model[0])


def test_a_replaced_layer_is_copied_as_it_is():
    model = network()
    optimize(model)
    assert type(copy.deepcopy(model)[0]) is FastLinear


def test_a_rule_may_find_a_module_unfit(monkeypatch):
    rule = swap.Rule(FastLinear, unfit=lambda layer: "it has no bias" if layer.bias is None else None)
    monkeypatch.setattr(swap, "_rules", lambda: iter([rule]))
    model = network()
    report = optimize(model)
    assert [item.name for item in report.swapped] == ["0"]
    assert [(item.name, item.reason) for item in report.left] == [("2", "it has no bias")]


def test_a_network_is_saved_under_its_plain_name(monkeypatch, tmp_path):
    monkeypatch.setattr(swap, "_rules", lambda: iter([swap.Rule(FastUNet)]))
    unet = UNet(widths=(4, 4), blocks=(1, 1))
    assert optimize(unet).swapped[0].name == ""
    assert type(unet) is FastUNet
    unet.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["class"] == "UNet"
    assert type(UNet.from_pretrained(tmp_path)) is UNet


def test_triton_is_taken_by_name_alone(monkeypatch):
    class TritonLinear(nn.Linear):
        plain_class = nn.Linear

    rules = swap.Rule(FastLinear), swap.Rule(TritonLinear, triton=True)
    monkeypatch.setattr(swap, "_rules", lambda: iter(rules))
    monkeypatch.setattr(swap, "why_missing", lambda: None)
    model = network()
    optimize(model)
    assert type(model[0]) is FastLinear
    optimize(model, triton=True)
    assert type(model[0]) is TritonLinear
    monkeypatch.setattr(swap, "why_missing", lambda: "no GPU here")
    with pytest.raises(ImportError, match=r"optimize\(triton=True\): no GPU here"):
        optimize(model, triton=True)
