"""One class of pipelines: what its compositions start from, see and end with; weights between the two ends; names."""

import copy
import io

import numpy as np
import pytest
import torch
from own_parts import BlendedSource
from small_pipelines import (
    COMPOSITIONS,
    SETTINGS,
    both_see_the_mean,
    elir,
    filled,
    latent_pmrf,
    pmrf,
    unet,
    vae,
    velocity,
)
from torch import nn

from pmrf_blocks.flow import integrate
from pmrf_blocks.restoration import Latents, Pipeline, Pixels, compose, flow_from_degraded
from pmrf_blocks.seeding import derive_generator, normal_like


@pytest.fixture
def images(generator):
    return torch.rand(2, 3, 16, 12, generator=generator)


WITHOUT_EULER = ("posterior mean", "source and condition", "ResShift", "ResShift in pixels")


@torch.no_grad()
def written_out(pipeline, images, seed):
    """What a pipeline is said to do, from the outside: start, noise an image, Euler steps, decode."""
    x, condition = pipeline.start(images, generator=[derive_generator("posterior", seed) for _ in images])
    noise = torch.randn(x.shape[1:], generator=derive_generator("source", seed))
    x = x + pipeline.source_noise * noise
    steps = pipeline.steps
    for step in range(steps):
        seen = x if condition is None else torch.cat((x, condition), dim=1)
        x = x + pipeline.velocity(seen, torch.full((len(x),), step / steps)) / steps
    return pipeline.image(x, images.shape[-2:])


@pytest.mark.parametrize("name", [name for name in COMPOSITIONS if name not in WITHOUT_EULER])
def test_every_composition_is_its_stages(name, images):
    pipeline = COMPOSITIONS[name]()
    restored = pipeline.restore(images, seed=3)
    torch.testing.assert_close(restored.image, written_out(pipeline, images, 3), rtol=1e-5, atol=1e-5)
    assert restored.nfe == 2
    assert restored.image.shape == images.shape
    assert torch.equal(pipeline(images, seed=3), restored.image)
    pixels = any(hasattr(part, "estimator") for part in (pipeline.source, pipeline.condition))
    assert (restored.posterior_mean is not None) == pixels


def test_a_sample_of_the_posterior_is_composed_or_refused():
    parts = {"autoencoder": vae(), "estimator": unet(), "velocity": velocity(4), **SETTINGS}
    assert compose("posterior-mean", sample=True, **parts).sample
    assert compose("degraded", sample=True, **parts).space.sample
    assert not compose("posterior-mean", **parts).sample
    for refused in ({"source": "mean-of-latents"}, {"source": "posterior-mean", "autoencoder": None}):
        with pytest.raises(ValueError, match="sample: there are no latents"):
            compose(**{**parts, **refused}, sample=True)


def test_what_sources_and_conditions_are(images):
    with torch.no_grad():
        model = latent_pmrf()
        mean = model.estimator(images).clamp(0, 1)
        torch.testing.assert_close(model.start(images)[0], 0.8 * (model.autoencoder.encode(2 * mean - 1).mean - 0.1))
        torch.testing.assert_close(model.target(images), 0.8 * (model.autoencoder.encode(2 * images - 1).mean - 0.1))
        assert torch.equal(pmrf().start(images)[0], mean)
        model = elir()
        latent = 0.8 * (model.autoencoder.encode(2 * images - 1).mean - 0.1)
        torch.testing.assert_close(model.start(images)[0], model.latent_estimator(latent))
        assert torch.equal(COMPOSITIONS["flow from y"]().start(images)[0], images)
        for name, condition in (("flow conditioned on y", images), ("flow conditioned on mean", mean)):
            pipeline = COMPOSITIONS[name]()
            assert pipeline.source_noise == 1.0
            x0, seen = pipeline.start(images)
            assert torch.equal(x0, torch.zeros_like(images))
            assert torch.equal(seen, condition)


def test_a_batch_is_estimated_and_encoded_once(images):
    calls = {"estimator": 0, "encoder": 0}
    pipeline = both_see_the_mean()
    for name, module in (("estimator", pipeline.source.estimator), ("encoder", pipeline.space.autoencoder.encoder)):
        module.register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    pipeline.restore(images)
    assert calls == {"estimator": 1, "encoder": 1}


def test_latents_are_sampled_for_an_image_by_its_seed(images):
    pipeline = both_see_the_mean()
    pipeline.source_noise = 0.0
    one, two = (pipeline.restore(images, seed=seed).image for seed in (1, 2))
    assert not torch.equal(one, two)
    together = pipeline.restore(images, seed=[1, 2]).image
    torch.testing.assert_close(pipeline.restore(images[1:], seed=2).image, together[1:], rtol=1e-4, atol=1e-5)
    space = Latents(vae(), sample=True)
    with torch.no_grad():
        torch.testing.assert_close(space.encode(images), pipeline.target(images))  # without a generator, the mode
        posterior = space.autoencoder.encode(2 * images - 1)
        drawn = space.encode(images, generator=torch.Generator().manual_seed(4))
        noise = normal_like(posterior.mean, torch.Generator().manual_seed(4))
        torch.testing.assert_close(drawn, 0.8 * (posterior.mean + posterior.std * noise - 0.1))


@pytest.mark.parametrize("name", ["Latent-PMRF", "PMRF", "ELIR", "flow conditioned on mean"])
def test_weight_is_the_line_between_the_two_ends(name, images):
    pipeline = COMPOSITIONS[name]()
    mean = pipeline.restore(images, posterior_mean_only=True)
    sharp = pipeline.restore(images)
    assert mean.nfe == 0
    assert torch.equal(mean.image, mean.posterior_mean)
    assert torch.equal(pipeline.restore(images, weight=0.0).image, mean.image)
    assert torch.equal(pipeline.restore(images, weight=1.0).image, sharp.image)
    between = pipeline.restore(images, weight=0.3).image
    torch.testing.assert_close(between, 0.7 * mean.image + 0.3 * sharp.image)


@pytest.mark.parametrize("name", ["ResShift", "ResShift in pixels"])
def test_resshift_is_its_algorithm(name, images):
    """Algorithm 2, each image by the noise of its own seed; a scaled noise, fewer steps."""
    pipeline = COMPOSITIONS[name]()
    shift, seeds, count = pipeline.shift, [7, 8], pipeline.steps
    restored = pipeline.restore(images, seed=seeds)
    assert restored.nfe == count
    assert restored.posterior_mean is None
    draws = [derive_generator("source", seed) for seed in seeds]
    etas = shift.etas.tolist()
    with torch.no_grad():
        y, seen = pipeline.start(images)
        assert torch.equal(y, seen)
        x = y + shift.kappa * etas[-1] ** 0.5 * normal_like(y, draws)
        for t in range(count, 0, -1):
            state = torch.cat((x / (1 + shift.kappa**2 * etas[t]) ** 0.5, y), dim=1)
            clean = pipeline.velocity(state, torch.full((2,), 1 - t / count))
            x = etas[t - 1] / etas[t] * x + (etas[t] - etas[t - 1]) / etas[t] * clean
            if t > 1:
                x = x + shift.kappa * (etas[t - 1] / etas[t] * (etas[t] - etas[t - 1])) ** 0.5 * normal_like(x, draws)
        torch.testing.assert_close(restored.image, pipeline.image(x, (16, 12)), rtol=1e-4, atol=1e-5)
    still = [pipeline.restore(images, seed=seed, source_noise=0.0, steps=2) for seed in seeds]
    assert torch.equal(still[0].image, still[1].image)
    assert still[0].nfe == 2
    with pytest.raises(ValueError, match="steps must be from 1 to"):
        pipeline.restore(images, steps=count + 1)
    with pytest.raises(ValueError, match="there is no solver to choose"):
        pipeline.restore(images, solver="heun")


def test_no_posterior_mean_to_go_to(images):
    pipeline = COMPOSITIONS["flow from y"]()
    for options in ({"weight": 0.5}, {"weight": 0.0}, {"posterior_mean_only": True}):
        with pytest.raises(ValueError, match="DegradedSource has no posterior mean"):
            pipeline.restore(images, **options)
    for weight in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"weight must be in \[0, 1\]"):
            pipeline.restore(images, weight=weight)


def test_a_source_of_ones_own(images):
    pipeline = Pipeline(space=Pixels(), source=BlendedSource(unet(), 0.25), velocity=velocity(3, patch_size=4), size=16)
    restored = pipeline.restore(images, steps=1)
    with torch.no_grad():
        mean = pipeline.source.estimator(images).clamp(0, 1)
        source = torch.lerp(images, mean, 0.25)
        expected = integrate(pipeline.velocity, source, steps=1).x.clamp(0, 1)
    torch.testing.assert_close(restored.image, expected)
    torch.testing.assert_close(restored.posterior_mean, mean)


def test_without_velocity_the_source_is_restored(images):
    pipeline = latent_pmrf(velocity=None)
    restored = pipeline.restore(images, seed=1)
    assert restored.nfe == 0
    with torch.no_grad():
        assert torch.equal(restored.image, pipeline.image(pipeline.start(images)[0], (16, 12)))


def test_weights_are_named_by_their_networks(images):
    model = latent_pmrf()
    assert {name.split(".")[0] for name in model.state_dict()} == {"autoencoder", "estimator", "velocity"}
    other = latent_pmrf()
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.restore(images).image, model.restore(images).image)
    names = {name.split(".")[0] for name in both_see_the_mean().state_dict()}
    assert names == {"autoencoder", "estimator", "velocity"}
    two = COMPOSITIONS["two estimators"]()
    state = two.state_dict()
    assert {name.split(".")[0] for name in state} == {"autoencoder", "estimator", "condition_estimator", "velocity"}
    filled(two, 9).load_state_dict(state)
    assert torch.equal(two.condition.estimator.conv_in.weight, state["condition_estimator.conv_in.weight"])
    with pytest.raises(RuntimeError, match=r"Missing key.*space\.autoencoder"):
        model.load_state_dict({})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"size": 0}, ValueError, "size and steps must be at least 1"),
        ({"size": 1.5}, TypeError, "whole numbers"),
        ({"size": 10**30}, ValueError, "size must be at most 65536 pixels"),
        ({"velocity": "x"}, TypeError, "velocity must be a module; got str"),
        ({"source_noise": float("nan")}, ValueError, "source_noise at least 0; got 16, 2, nan"),
        ({"solver": "rk9"}, ValueError, "solver must be one of 'euler'"),
    ],
)
def test_numbers_of_a_pipeline(change, error, message):
    with pytest.raises(error, match=message):
        flow_from_degraded(**{"velocity": None, "size": 16, "steps": 2, "source_noise": 0.1, **change})


def test_generators_must_be_as_many_as_images():
    with pytest.raises(ValueError, match="got 1 for 2 images"):
        normal_like(torch.zeros(2, 1), [torch.Generator()])


def test_solvers_of_ones_own_and_adaptive_ones(images, tmp_path):
    pipeline = pmrf(source_noise=0.0)

    def backwards(velocity, x, t, h):
        return x - h * velocity(x, t)

    with torch.no_grad():
        x = pipeline.start(images)[0]
        expected = (x - pipeline.velocity(x, torch.zeros(2))).clamp(0, 1)
    torch.testing.assert_close(pipeline.restore(images, steps=1, solver=backwards).image, expected)
    adaptive, fine = (pipeline.restore(images, solver=name, steps=20).image for name in ("dopri5", "rk4"))
    torch.testing.assert_close(adaptive, fine, rtol=0, atol=1e-3)
    pipeline.solver = backwards
    with pytest.raises(ValueError, match=r"cannot be written to config\.json"):
        pipeline.save_pretrained(tmp_path)


def test_seeds_are_plain_numbers(images):
    model = pmrf()
    expected = model.restore(images, seed=[3, 4]).image
    for seeds in (np.array([3, 4]), torch.tensor([3, 4]), (np.int64(3), 4)):
        assert torch.equal(model.restore(images, seed=seeds).image, expected)
    assert torch.equal(model.restore(images, seed=np.int64(3)).image, model.restore(images, seed=3).image)
    for wrong in (1.5, [1.5, 2], "ab", None):
        with pytest.raises(ValueError, match="seed must be a whole number, or one an image"):
            model.restore(images, seed=wrong)
    with pytest.raises(ValueError, match="seed must be one number or one an image; got 3 for 2 images"):
        model.restore(images, seed=[1, 2, 3])


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (1, 3, 0, 8)])
def test_nothing_to_restore(shape):
    with pytest.raises(ValueError, match="at least one image of one pixel"):
        pmrf().restore(torch.zeros(shape))


def test_a_pipeline_is_copied_pickled_and_nested_like_any_module(images):
    pipeline = both_see_the_mean()
    expected = pipeline(images)
    again = copy.deepcopy(pipeline)
    assert torch.equal(again(images), expected)
    assert again.condition.estimator is again.source.estimator
    file = io.BytesIO()
    torch.save(pipeline, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(images), expected)
    outer = nn.ModuleDict({"pipeline": filled(again, 3)})
    outer.load_state_dict({f"pipeline.{name}": value for name, value in pipeline.state_dict().items()})
    assert torch.equal(again(images), expected)
