"""Saving is loading: every composition, code of one's own, run folders; and folders that strangers wrote."""

import json

import pytest
import torch
from own_parts import BlendedSource, Estimator, ForgetfulSource, LearnedSource, WeightySource
from small_pipelines import COMPOSITIONS, latent_pmrf, pmrf, seeded, unet, velocity
from torch import nn

from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import (
    PMRF,
    DegradedSource,
    LatentPMRF,
    NoiseSource,
    Pipeline,
    Pixels,
    PosteriorMean,
    PosteriorMeanSource,
    flow_from_degraded,
    load_restorer,
)


@pytest.fixture
def images(generator):
    return torch.rand(2, 3, 16, 12, generator=generator)


@pytest.fixture
def no_hub(monkeypatch):
    """Any download fails the test."""
    import huggingface_hub

    def never(*arguments, **options):
        raise AssertionError(f"the hub was asked for {arguments}")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", never)


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_every_composition_is_loaded_as_it_was(name, tmp_path, images):
    model = COMPOSITIONS[name]()
    model.save_pretrained(tmp_path)
    again = load_restorer(tmp_path)
    assert type(again) is type(model)
    assert not again.training
    assert str(again) == str(model)
    assert torch.equal(again.restore(images, seed=[1, 2]).image, model.restore(images, seed=[1, 2]).image)
    again.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again/config.json").read_text() == (tmp_path / "config.json").read_text()


def own(source):
    return Pipeline(space=Pixels(), source=source, velocity=velocity(3, patch_size=4), size=16, steps=1)


@pytest.mark.parametrize(
    "source",
    [
        lambda: BlendedSource(unet(), 0.25),
        lambda: seeded(LearnedSource, width=5),
        lambda: PosteriorMeanSource(seeded(Estimator)),
    ],
)
def test_code_of_ones_own_is_loaded_where_it_is_trusted(source, tmp_path, images):
    model = own(source())
    model.save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="code outside pmrf_blocks, which is not imported unasked"):
        load_restorer(tmp_path)
    again = Pipeline.from_pretrained(tmp_path, trusted_modules=("own_parts",))
    assert torch.equal(again.restore(images).image, model.restore(images).image)


def test_what_cannot_be_loaded_again_is_not_saved(tmp_path):
    class Local(DegradedSource):
        pass

    changed = pmrf()
    changed.condition = DegradedSource()
    another = pmrf()
    another.source = NoiseSource()
    for model, message in (
        (own(ForgetfulSource(unet())), "ForgetfulSource has no attribute 'estimator', as its argument is called"),
        (own(WeightySource()), "source has weights: own_parts:WeightySource must inherit Pretrained"),
        (own(Local()), "cannot be saved: it has no import path"),
        (
            own(PosteriorMeanSource(nn.Conv2d(3, 3, 1))),
            "estimator must be one of .*, or one's own that inherits Pretrained",
        ),
        (changed, "a PMRF with another space, source or condition is saved as a Pipeline"),
        (another, "PMRF has no attribute 'estimator'"),
    ):
        with pytest.raises(ValueError, match=message):
            model.save_pretrained(tmp_path / "model")
        assert not (tmp_path / "model").exists()


def test_without_velocity(tmp_path, images):
    model = latent_pmrf(velocity=None)
    model.save_pretrained(tmp_path)
    assert torch.equal(LatentPMRF.from_pretrained(tmp_path).restore(images).image, model.restore(images).image)


def test_posterior_means_of_older_versions(tmp_path, images):
    model = PosteriorMean(estimator=unet(), size=16)
    model.save_pretrained(tmp_path)
    edit(tmp_path, settings={"size": 16, "source_noise": 0.0, "steps": 25})
    assert torch.equal(load_restorer(tmp_path).restore(images).image, model.restore(images).image)


def test_a_run_folder_is_its_pipeline(tmp_path, images):
    model = pmrf()
    model.save_pretrained(tmp_path / "flow-1234/pipeline")
    (tmp_path / "flow-1234/config.json").write_text(json.dumps({"train": {}, "recipe": {}, "environment": {}}))
    assert torch.equal(load_restorer(tmp_path / "flow-1234").restore(images).image, model.restore(images).image)


def test_optimized_is_the_same_up_to_rounding(tmp_path, images):
    model = latent_pmrf()
    model.save_pretrained(tmp_path)
    fast = LatentPMRF.from_pretrained(tmp_path, optimize=True)
    plain = {type(module) for module in model.modules()}
    assert any(type(module) not in plain for module in fast.modules())
    torch.testing.assert_close(fast.restore(images).image, model.restore(images).image, rtol=1e-4, atol=1e-5)
    fast.save_pretrained(tmp_path / "again")
    assert {type(module) for module in load_restorer(tmp_path / "again").modules()} == plain


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_a_folder_is_never_the_hub(tmp_path, monkeypatch, no_hub):
    monkeypatch.chdir(tmp_path)
    pmrf().save_pretrained("mymodel")
    (tmp_path / "mymodel/velocity").rename(tmp_path / "velocity")
    with pytest.raises(WeightsError, match=r"mymodel/velocity not found"):
        load_restorer("mymodel")
    monkeypatch.chdir(tmp_path / "mymodel")
    for name in ("evil/repo", "../velocity", str(tmp_path / "velocity"), "..", "estimator/../../velocity", ""):
        edit(tmp_path / "mymodel", networks={"estimator": "UNet", name: "HourglassTransformer"})
        with pytest.raises(WeightsError, match="is no name of a network"):
            load_restorer(".")


def test_what_is_shared_lies_in_the_pipeline_above(tmp_path, images):
    model = pmrf()
    model.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path / "inner", shared=("estimator",))
    assert not (tmp_path / "inner/estimator").exists()
    assert torch.equal(load_restorer(tmp_path / "inner").restore(images).image, model.restore(images).image)
    edit(tmp_path / "inner", shared="estimator")
    with pytest.raises(WeightsError, match="shared must be a list of names"):
        load_restorer(tmp_path / "inner")
    edit(tmp_path / "inner", shared=["estimator"])
    edit(tmp_path, networks={"velocity": "HourglassTransformer"})
    with pytest.raises(WeightsError, match=r"estimator is shared, but .* has none"):
        load_restorer(tmp_path / "inner")


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ([], "networks and settings must be JSON objects"),
        ({"source": 1}, "source must be a JSON object; got 1"),
        ({"source": {"class": "DegradedSource", "networks": []}}, "source: networks must be a JSON object"),
        ({"source": {"class": "DegradedSource", "networks": {"a": [1]}}}, r"networks must be names; got \[1\]"),
        ({"source": {"class": "os:system"}}, "'os:system' is code outside pmrf_blocks"),
        ({"source": {"class": 3}}, "source must be one of Pixels, Latents"),
        (
            {"source": {"class": "pmrf_blocks.autoencoders.sim_vae:SimVAE", "settings": {"channels": [10**6]}}},
            "source must be one of Pixels, Latents",
        ),
        (
            {"source": {"class": "DegradedSource", "networks": {"x": "gone"}}},
            "x is to be the network 'gone', which is none",
        ),
        ({"source": {"class": "DegradedSource", "settings": {"x": 1}}}, "does not describe a Pipeline: .*argument"),
        ({"source": {"class": "DegradedSource"}}, "does not describe a Pipeline: .*missing 1 required .*'space'"),
        (
            {"source": {"class": "Pixels"}, "space": {"class": "DegradedSource"}},
            r"space must be a module with encode\(\) and decode\(\); got DegradedSource",
        ),
    ],
)
def test_parts_that_lie(tmp_path, parts, complaint):
    flow_from_degraded(velocity=velocity(3, patch_size=4), size=16, source_noise=0.1).save_pretrained(tmp_path)
    edit(tmp_path, parts=parts)
    with pytest.raises(WeightsError, match=complaint):
        load_restorer(tmp_path)


def test_the_class_that_was_asked_for(tmp_path):
    latent_pmrf().save_pretrained(tmp_path)
    assert isinstance(Pipeline.from_pretrained(tmp_path), LatentPMRF)
    with pytest.raises(WeightsError, match="holds a LatentPMRF, not a PMRF"):
        PMRF.from_pretrained(tmp_path)
