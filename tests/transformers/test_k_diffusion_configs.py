"""Every configuration that k-diffusion publishes, and every option of its network: the same network, or a refusal that
names what cannot be had."""

import json

import pytest
import torch
from restated_hdit import Form, model_of, published_layout, published_weights, restated
from torch import nn

from pmrf_blocks.kernels import optimize
from pmrf_blocks.transformers import HourglassTransformer, Level, from_k_diffusion_config, load_k_diffusion_weights

NEIGHBORHOOD = {"type": "neighborhood", "d_head": 64, "kernel_size": 7}
SHIFTED = {"type": "shifted-window", "d_head": 64, "window_size": 8}
SAMPLING = {
    "loss_config": "karras", "loss_weighting": "soft-min-snr", "augment_prob": 0.12, "sigma_data": 0.5,
    "sigma_min": 0.01, "sigma_max": 80, "sigma_sample_density": {"type": "cosine-interpolated"},
}  # fmt: skip
PUBLISHED = {
    "cifar10": (
        {"input_channels": 3, "input_size": [32, 32], "patch_size": [2, 2], "depths": [2, 4], "widths": [256, 512],
         "self_attns": [{"type": "global"}, {"type": "global"}], "dropout_rate": 0.05},
        {"num_classes": 10},
        Form((256, 512), (2, 4), ("global", "global"), 256, head=64, classes=11),
    ),
    "mnist": (
        {"input_channels": 1, "input_size": [28, 28], "patch_size": [4, 4], "depths": [8], "widths": [256],
         "dropout_rate": 0.05},
        {"num_classes": 10},
        Form((256,), (8,), ("global",), 256, (4, 4), head=64, classes=11, channels=1),
    ),
    "oxford flowers": (
        {"input_channels": 3, "input_size": [256, 256], "patch_size": [4, 4], "depths": [2, 2, 4],
         "widths": [128, 256, 512], "self_attns": [NEIGHBORHOOD, NEIGHBORHOOD, {"type": "global", "d_head": 64}],
         "dropout_rate": [0.0, 0.0, 0.1], "mapping_dropout_rate": 0.0},
        {},
        Form((128, 256, 512), (2, 2, 4), mapping=256, patch=(4, 4), head=64),
    ),
    "oxford flowers, shifted windows": (
        {"input_channels": 3, "input_size": [256, 256], "patch_size": [4, 4], "depths": [2, 2, 4],
         "widths": [128, 256, 512], "self_attns": [SHIFTED, SHIFTED, {"type": "global", "d_head": 64}],
         "dropout_rate": [0.0, 0.0, 0.1], "mapping_dropout_rate": 0.0},
        {},
        Form((128, 256, 512), (2, 2, 4), ("shifted_window", "shifted_window", "global"), 256, (4, 4), head=64),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations(name, tmp_path):
    model, dataset, form = PUBLISHED[name]
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model": {"type": "image_transformer_v2", **model, **SAMPLING}, "dataset": dataset}))
    with torch.device("meta"):
        network = from_k_diffusion_config(path)
    layout = {name: shape for name, shape, _ in published_layout(form)}
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == layout
    rates = model["dropout_rate"]
    wanted = rates if isinstance(rates, list) else [rates] * len(model["widths"])
    assert [level.dropout for level in network.levels] == wanted
    assert [level.attention for level in network.levels] == list(form.kinds)
    assert {m.p for m in network.mid_level.modules() if isinstance(m, nn.Dropout)} == {wanted[-1]}
    assert {m.p for m in network.mapping.modules() if isinstance(m, nn.Dropout)} == {0.0}


OPTIONS = {
    "hidden widths of any size": Form((32, 48), (1, 2), ("neighborhood", "global"), hidden=((32, 50), (48, 77))),
    "hidden width of the mapping": Form((32,), (1,), ("global",), mapping_hidden=31),
    "oblong patches": Form((32, 48), (1, 1), ("neighborhood", "global"), patch=(2, 3)),
    "small heads": Form((24, 48), (1, 1), ("neighborhood", "shifted_window"), head=8),
    "classes": Form((32,), (1,), ("neighborhood",), classes=7),
    "a vector": Form((32,), (1,), ("neighborhood",), cond=5),
    "augmentation": Form((32, 32), (1, 1), ("none", "global"), classes=3, cond=2),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_equal_the_restated_network(name, generator, tmp_path):
    form = OPTIONS[name]
    state = published_weights(form)
    model = load_k_diffusion_weights(model_of(form), state)
    x, t = torch.randn(2, form.channels, 16, 24, generator=generator), torch.rand(2, generator=generator)
    given = {}
    if form.classes:
        given["class_cond"] = torch.randint(form.classes, (2,), generator=generator)
    if form.cond:
        given["mapping_cond"] = torch.randn(2, form.cond, generator=generator)
    if name == "augmentation":
        given["aug_cond"] = torch.randn(2, 9, generator=generator)
    wide = {key: value.double() if value.is_floating_point() else value for key, value in given.items()}
    with torch.no_grad():
        expected = restated(state, form, x.double(), t.double(), **wide)
        assert 0.2 < float(expected.std()) < 4
        torch.testing.assert_close(model(x, t, **given).double(), expected, rtol=1e-5, atol=1e-5)
        model.save_pretrained(tmp_path)
        again = HourglassTransformer.from_pretrained(tmp_path)
        assert torch.equal(again(x, t, **given), model(x, t, **given))


def test_dropout_is_of_training_alone_and_drops_in_every_part(generator):
    def network():
        levels = (Level(32, 1, kernel_size=3, head_dim=16, dropout=0.5),)
        return HourglassTransformer(levels=levels, patch_size=2, mapping_width=16, mapping_dropout=0.5)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = network()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.3) if parameter.ndim > 1 else parameter.data.abs_()
        x = torch.randn(1, 3, 8, 8, generator=generator)
        optimize(model)  # must drop too
        for recorded in (False, True):
            with torch.set_grad_enabled(recorded):
                torch.testing.assert_close(model.eval()(x, 0.5), model(x, 0.5))
                assert not torch.allclose(model.train()(x, 0.5), model(x, 0.5))
                for part in ("mapping.blocks.0", "mid_level.0.self_attn", "mid_level.0.ff"):
                    model.eval().get_submodule(part).train()
                    assert not torch.allclose(model(x, 0.5), model(x, 0.5)), part


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"type": "image_v1"}, "type must be 'image_transformer_v2'; got 'image_v1'"),
        ({"has_variance": True}, "has_variance must be False here; got True"),
        ({"skip_stages": 1}, "skip_stages must be 0 here; got 1"),
        ({"unet_cond_dim": 4, "frames": 2}, "frames, unet_cond_dim of the model's configuration cannot be represented"),
        ({"self_attns": [{"type": "global", "rope": False}]}, "rope of self_attns cannot be represented"),
        ({"self_attns": [{"type": "linear"}]}, "attention must be one of .*; got 'linear'"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(model, message):
    base = {"type": "image_transformer_v2", "input_channels": 1, "patch_size": [4, 4], "depths": [1], "widths": [64]}
    assert from_k_diffusion_config({"model": base}).levels[0].attention == "global"
    with pytest.raises(ValueError, match=message):
        from_k_diffusion_config({"model": {**base, **model}})
    del base["widths"]
    with pytest.raises(ValueError, match="the configuration has no 'widths'"):
        from_k_diffusion_config({"model": base})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"class_cond: it must be \(2,\); got None"),
        ({"class_cond": torch.zeros(3, dtype=torch.long)}, r"class_cond: it must be \(2,\); got a tensor \(3,\)"),
        ({"mapping_cond": torch.zeros(2, 4)}, "mapping_cond: the model has no embedding of it"),
        ({"aug_cond": torch.zeros(2, 9)}, "aug_cond: the model has no embedding of it"),
    ],
)
def test_conditions_that_do_not_fit_are_named(given, message):
    model = HourglassTransformer(levels=(Level(32, 1, "global", head_dim=16),), mapping_width=16, num_classes=3)
    class_cond = {} if "class_cond" in given or not given else {"class_cond": torch.zeros(2, dtype=torch.long)}
    with pytest.raises(ValueError, match=message):
        model(torch.zeros(2, 3, 8, 8), 0.5, **class_cond, **given)


def attention_of_ones_own(q, k, v, scale):
    return v + 0 * scale


def test_attention_of_ones_own_is_as_good_as_a_name(tmp_path, generator):
    level = Level(32, 1, attention_of_ones_own, head_dim=16)
    model = HourglassTransformer(levels=(level,), patch_size=2, mapping_width=16)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    x = torch.randn(1, 3, 8, 8, generator=generator)
    with torch.no_grad():
        expected = model(x, 0.5)
        assert bool(expected.any())
        model.save_pretrained(tmp_path)
        again = HourglassTransformer.from_pretrained(tmp_path, trusted_modules=(__name__,))
        assert torch.equal(again(x, 0.5), expected)
    with pytest.raises(ValueError, match="trusted_modules"):
        HourglassTransformer.from_pretrained(tmp_path)
