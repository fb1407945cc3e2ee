"""The hourglass transformer in use: optimiser groups, saving, backends, arguments and inputs that do not fit."""

import re

import pytest
import torch
from hourglass_toys import FORMS, filled, tiny

from pmrf_blocks.pretrained import CONFIG, read_json
from pmrf_blocks.transformers import HourglassTransformer, Level
from pmrf_blocks.transformers.block import SelfAttention


def test_parameter_groups_hold_every_parameter_once():
    model = tiny(**FORMS["latent"])
    groups = model.param_groups(3e-4)
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())
    rate = {id(p): group for group in groups for p in group["params"]}
    assert rate[id(model.mapping.blocks[0].up_proj.weight)]["lr"] == pytest.approx(1e-4)
    assert rate[id(model.mid_level[0].ff.norm.linear.weight)]["lr"] == pytest.approx(1e-4)
    assert rate[id(model.mid_level[0].ff.up_proj.weight)]["lr"] == pytest.approx(3e-4)
    decayed = {name for name, p in model.named_parameters() if "weight_decay" not in rate[id(p)]}
    kinds = "qkv_proj out_proj up_proj down_proj proj linear conv"  # k-diffusion's projections, and our convolutions
    assert decayed == {
        name
        for name, _ in model.named_parameters()
        if name.endswith(tuple(f".{kind}.weight" for kind in kinds.split()))
    }
    optimiser = torch.optim.AdamW(model.param_groups(3e-4, 0.5), weight_decay=0.01)
    assert {group["weight_decay"] for group in optimiser.param_groups} == {0.01, 0.0}
    assert {group["lr"] for group in optimiser.param_groups} == {3e-4, 1.5e-4}


def test_save_and_load_bit_for_bit(tmp_path, generator):
    model = filled(tiny(**FORMS["latent"]))
    model.save_pretrained(tmp_path)
    again = HourglassTransformer.from_pretrained(tmp_path)
    x = torch.randn(1, 3, 8, 8, generator=generator)
    assert again.levels == model.levels
    assert torch.equal(model(x, 0.5), again(x, 0.5))


def test_backend_can_be_changed_and_is_not_saved(generator, tmp_path):
    model = filled(tiny(backend="dense", gradient_checkpointing=True))
    assert {m.backend for m in model.modules() if isinstance(m, SelfAttention)} == {"dense"}
    model.save_pretrained(tmp_path)
    assert not {"backend", "global_backend", "gradient_checkpointing"} & read_json(tmp_path / CONFIG).keys()
    model.set_backend("tiled")
    x = torch.randn(1, 3, 40, 40, generator=generator)
    with torch.no_grad():
        tiled = model(x, 0.5)
        model.set_backend("dense")
        torch.testing.assert_close(model(x, 0.5), tiled, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="backend must be one of"):
        model.set_backend("fast")
    with pytest.raises(ValueError, match="global_backend must be one of 'auto', 'sdpa', 'xformers'; got 'fast'"):
        model.set_backend(global_backend="fast")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": ()}, "at least one level"),
        ({"split": "bilinear"}, "split must be one of 'linear', 'conv'; got 'bilinear'"),
        ({"backend": "fast"}, "backend must be one of"),
        ({"mapping_width": 17}, "mapping_width must be even, and mapping_depth at least 0; got 17, 1"),
        ({"in_channels": 0}, "in_channels, out_channels and patch_size must be at least 1; got 0, 0, 2"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(**arguments)


def test_bad_levels():
    with pytest.raises(ValueError, match="attention must be one of 'neighborhood', 'global', 'shifted_window', 'none'"):
        Level(64, 1, "window")
    with pytest.raises(ValueError, match="width must be a multiple of head_dim"):
        Level(100, 1)
    with pytest.raises(ValueError, match="depth must be at least 1"):
        Level(64, 0)


def test_bad_inputs():
    for shape in ((1, 4, 8, 8), (3, 8, 8), (1, 3, 0, 8), (0, 3, 8, 8)):
        with pytest.raises(ValueError, match=rf"x must be \(B, 3, H, W\), none of them 0; got {re.escape(str(shape))}"):
            tiny()(torch.zeros(shape), 0.5)
    with pytest.raises(ValueError, match=r"t must be \(B,\) = \(2,\) or one number; got \(3,\)"):
        tiny()(torch.zeros(2, 3, 8, 8), torch.zeros(3))
