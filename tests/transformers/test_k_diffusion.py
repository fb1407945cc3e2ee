"""Published weights of the hourglass transformer, and parity with a plain restatement of k-diffusion's formula.

Nothing here asks the model for names, shapes or order: `published_layout` writes them down from the published code.
"""

import pickle

import pytest
import torch
from restated_hdit import Form, model_of, published_layout, published_weights, restated

from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.transformers import HourglassTransformer, load_k_diffusion_weights, pmrf_hdit

FORMS = {"pmrf": Form(), "others": Form(kinds=("shifted_window", "none", "neighborhood"))}


@pytest.mark.parametrize("form", FORMS)
def test_equals_k_diffusion_at_random_weights(form):
    form, state = FORMS[form], published_weights(FORMS[form])
    model = load_k_diffusion_weights(model_of(form), state)
    generator = torch.Generator().manual_seed(1)
    x, t = torch.randn(2, 3, 32, 48, generator=generator), torch.rand(2, generator=generator)
    with torch.no_grad():
        ours, expected = model(x, t), restated(state, form, x.double(), t.double())
    assert 0.3 < float(expected.std()) < 3  # neither vanished nor blown up: the tolerance means something
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-5)


def test_names_and_shapes_of_the_released_model():
    layout = published_layout(Form((256, 512, 1024), (2, 2, 8), mapping=768, patch=(4, 4), head=64))
    with torch.device("meta"):
        model = pmrf_hdit()
    assert {name: shape for name, shape, _ in layout} == {n: tuple(v.shape) for n, v in model.state_dict().items()}


def checkpoint(raw, averaged, wrapper=""):
    """A lightning checkpoint of PMRF: the flow under 'model.', other modules beside it, torch-ema's state."""
    layout = list(published_layout())
    others = {"mmse_model.conv_last.bias": torch.zeros(3), "fid.real_sum": torch.zeros(2)}
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.2.0",
        "state_dict": {**{f"model.{wrapper}{name}": value for name, value in raw.items()}, **others},
        "hyper_parameters": {"stage": "flow", "betas": (0.9, 0.95)},
        "ema": {
            "decay": 0.9999,
            "num_updates": 7,
            "shadow_params": [averaged[name] for name, _, trained in layout if trained],
            "collected_params": None,
        },
    }


def assert_loaded(model, parameters, buffers):
    own = model.state_dict()
    trained = {name for name, _ in model.named_parameters()}
    for name in own:
        assert torch.equal(own[name], (parameters if name in trained else buffers)[name]), name


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod."])
def test_checkpoints_of_pmrf(tmp_path, wrapper):
    raw, averaged = published_weights(seed=0), published_weights(seed=1)
    path = tmp_path / "last.ckpt"
    torch.save(checkpoint(raw, averaged, wrapper), path)
    assert_loaded(load_k_diffusion_weights(model_of(), path), averaged, raw)
    assert_loaded(load_k_diffusion_weights(model_of(), path, ema=False), raw, raw)


@pytest.mark.parametrize("wrap", [
    lambda state: state,
    lambda state: {f"inner_model.{name}": value for name, value in state.items()},
    lambda state: {"model": published_weights(seed=2), "model_ema": state, "step": 5},
])  # fmt: skip
def test_weights_of_k_diffusion(wrap):
    state = published_weights()
    assert_loaded(load_k_diffusion_weights(model_of(), wrap(state)), state, state)


def test_averages_alone_keep_the_frequencies():
    raw, averaged = published_weights(seed=0), published_weights(seed=1)
    model = load_k_diffusion_weights(model_of(), raw)
    with pytest.warns(UserWarning, match="fixed frequencies of the time embedding stay the model's own"):
        load_k_diffusion_weights(model, checkpoint(raw, averaged)["ema"])
    assert_loaded(model, averaged, raw)


def test_what_does_not_fit_is_named():
    state = published_weights()
    for i in range(12):
        state[f"surplus.{i}"] = state[f"mid_level.{i % 2}.ff.up_proj.weight"]
    del state["out_norm.scale"]
    state["splits.0.fac"] = torch.zeros(2)
    with pytest.raises(WeightsError) as caught:
        load_k_diffusion_weights(model_of(), state)
    message = str(caught.value)
    assert "1 missing: out_norm.scale;" in message
    assert "12 unexpected: surplus.0, " in message
    assert "surplus.9, ..." in message
    assert "surplus.10" not in message
    assert "1 of another shape: splits.0.fac (2,) for (1,)" in message

    raw = published_weights()
    for change, complaint in (
        (lambda shadow: shadow[:-1], r"averaged parameters for the .* of the model"),
        (lambda shadow: shadow[::-1], r"averaged parameters of another shape: patch_in.proj.weight \(12, 32\) for"),
        (lambda shadow: "none", "'ema' holds no list 'shadow_params'"),
    ):
        broken = checkpoint(raw, raw)
        broken["ema"]["shadow_params"] = change(broken["ema"]["shadow_params"])
        with pytest.raises(WeightsError, match=complaint):
            load_k_diffusion_weights(model_of(), broken)


def test_another_form_is_refused():
    with pytest.raises(WeightsError, match=r"unexpected: aug_emb.weight, aug_in_proj.weight"):
        load_k_diffusion_weights(HourglassTransformer(levels=model_of().levels, patch_size=2), published_weights())


class Harmful:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_that_is_not_weights_is_refused(tmp_path, capsys):
    torch.save({"state_dict": Harmful()}, tmp_path / "code.ckpt")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(Harmful()))
    torch.save([torch.zeros(1)], tmp_path / "list.ckpt")
    for name, complaint in (("code", "not a file of weights alone"), ("plain", "alone"), ("list", "holds a list")):
        with pytest.raises(WeightsError, match=complaint):
            load_k_diffusion_weights(model_of(), tmp_path / f"{name}.ckpt")
    with pytest.raises(WeightsError, match=r"absent\.ckpt not found"):
        load_k_diffusion_weights(model_of(), tmp_path / "absent.ckpt")
    assert capsys.readouterr().out == ""
