"""PMRF's released checkpoint, written here in its layout at a small size, made into a pipeline."""

import json

import pytest
import torch
from safetensors.torch import save_file

from pmrf_blocks.estimators import SwinIR
from pmrf_blocks.flow import integrate
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import PMRF, load_restorer, published
from pmrf_blocks.transformers import HourglassTransformer, Level
from pmrf_blocks.transformers.k_diffusion import published_order

FACTS = {"stage": "flow", "arch": "hdit_ImageNet256Sp4", "mmse_model_arch": "swinir_L", "conditional": False}


def random(module, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data.copy_(0.1 * torch.randn(parameter.shape, generator=generator).abs())
    return module.eval()


def small_velocity():
    levels = (Level(32, 1, kernel_size=3, head_dim=16), Level(32, 1, "global", head_dim=16))
    return HourglassTransformer(levels=levels, mapping_width=16, augmentation=True)


def small_estimator():
    return SwinIR(embed_dim=12, depths=(2,), num_heads=(2,), window_size=4)


@pytest.fixture
def small(monkeypatch):
    """The published names stand for small networks: the released ones have 176 million parameters."""
    monkeypatch.setitem(published.VELOCITIES, "hdit_ImageNet256Sp4", (small_velocity, 512))
    monkeypatch.setitem(published.ESTIMATORS, "swinir_L", small_estimator)


def names(velocity, estimator):
    buffers = {"layers.0.residual_group.blocks.1.attn_mask": torch.zeros(4, 16, 16)}
    return {
        **{f"model.{name}": value.clone() for name, value in velocity.state_dict().items()},
        **{f"mmse_model.{name}": value.clone() for name, value in {**estimator.state_dict(), **buffers}.items()},
        "fid.real_features_sum": torch.zeros(4),
    }


def lightning(velocity, averaged, estimator, **facts):
    shadow = [parameter.detach().clone() for parameter in published_order(averaged).values()]
    return {
        "epoch": 3849,
        "pytorch-lightning_version": "2.2.0",
        "state_dict": names(velocity, estimator),
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"betas": (0.9, 0.95)}]}],
        "hyper_parameters": {**FACTS, "mmse_noise_std": 0.1, "mmse_model_ckpt_path": None, **facts},
        "ema": {"decay": 0.9999, "num_updates": 1, "shadow_params": shadow, "collected_params": None},
    }


def test_a_lightning_checkpoint_becomes_the_pipeline(small, tmp_path, generator):
    raw, averaged = random(small_velocity(), 0), random(small_velocity(), 1)
    estimator = random(small_estimator(), 2)
    torch.save(lightning(raw, averaged, estimator, mmse_noise_std=0.2), tmp_path / "pmrf.ckpt")
    pipeline = PMRF.from_published(tmp_path / "pmrf.ckpt")
    assert (pipeline.size, pipeline.source_noise, pipeline.steps) == (512, 0.2, 25)
    assert not pipeline.training
    images = torch.rand(1, 3, 40, 36, generator=generator)
    with torch.no_grad():
        mean = estimator(images).clamp(0, 1)
        expected = integrate(averaged, mean, steps=3, solver="euler").x.clamp(0, 1)
    restored = pipeline.restore(images, steps=3, source_noise=0.0)
    torch.testing.assert_close(restored.posterior_mean, mean)
    torch.testing.assert_close(restored.image, expected, rtol=1e-5, atol=1e-5)
    pipeline.save_pretrained(tmp_path / "ours")  # and from then on as one of ours
    again = load_restorer(tmp_path / "ours").restore(images, steps=3, source_noise=0.0)
    assert torch.equal(again.image, restored.image)


def test_raw_weights_where_they_are_asked_for(small, tmp_path):
    raw, averaged, estimator = random(small_velocity(), 0), random(small_velocity(), 1), random(small_estimator(), 2)
    torch.save(lightning(raw, averaged, estimator), tmp_path / "pmrf.ckpt")
    for ema, expected in ((True, averaged), (False, raw)):
        velocity = PMRF.from_published(tmp_path / "pmrf.ckpt", ema=ema).velocity
        assert all(torch.equal(a, b) for a, b in zip(velocity.parameters(), expected.parameters()))
    assert isinstance(load_restorer(tmp_path / "pmrf.ckpt"), PMRF)


def test_the_hub_layout(small, tmp_path, generator):
    velocity, estimator = random(small_velocity(), 0), random(small_estimator(), 2)
    save_file(names(velocity, estimator), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({**FACTS, "mmse_noise_std": 0.05, "betas": [0.9, 0.95]}))
    for path in (tmp_path, tmp_path / "model.safetensors"):
        assert load_restorer(path).source_noise == 0.05
        pipeline = PMRF.from_published(path)
        assert pipeline.source_noise == 0.05
        assert all(
            torch.equal(a, b) for a, b in zip(pipeline.velocity.state_dict().values(), velocity.state_dict().values())
        )


def test_what_is_no_pmrf_is_refused(small, tmp_path):
    networks = random(small_velocity(), 0), random(small_velocity(), 1), random(small_estimator(), 2)

    def refused(content, complaint):
        torch.save(content, tmp_path / "pmrf.ckpt")
        with pytest.raises(WeightsError, match=complaint):
            PMRF.from_published(tmp_path / "pmrf.ckpt")

    refused(lightning(*networks, conditional=True), "is no PMRF: stage 'flow', conditional True; load its network")
    refused(lightning(*networks, stage="mmse"), "is no PMRF: stage 'mmse'")
    refused(lightning(*networks, arch="unet_L"), "arch must be one of hdit_ImageNet256Sp4, hdit_XL2; got 'unet_L'")
    content = lightning(*networks)
    content["state_dict"] = {k: v for k, v in content["state_dict"].items() if not k.startswith("mmse_model.")}
    refused(content, "no key starts with 'mmse_model.'")
    content = lightning(*networks)
    del content["state_dict"]["mmse_model.conv_hr.bias"], content["state_dict"]["mmse_model.norm.weight"]
    refused(content, "does not fit SwinIR; 2 missing: norm.weight, conv_hr.bias")
    refused({"state_dict": {"weight": torch.zeros(1)}, "hyper_parameters": [1]}, "hyper_parameters is a list")
    (tmp_path / "text.ckpt").write_text("no weights")
    with pytest.raises(WeightsError, match="not a file of weights alone"):
        PMRF.from_published(tmp_path / "text.ckpt")
