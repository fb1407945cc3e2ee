"""What a pipeline's velocity minimises, against the formulas; which parameters learn how fast; pairs for images."""

import pytest
import torch
from torch import nn
from training_toys import Halve, darken, in_pixels

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.flow import consistency_flow_matching_loss, residual_shift_loss, sample_time
from pmrf_blocks.restoration import (
    ELIR,
    DegradedSource,
    LatentMeanSource,
    LatentPMRF,
    Latents,
    NoiseSource,
    Pipeline,
    Pixels,
    PosteriorMeanSource,
    ResShift,
)
from pmrf_blocks.training import FlowTask, LatentMeanTask
from pmrf_blocks.training.flow_tasks import flow_ends
from pmrf_blocks.transformers import HourglassTransformer, Level


def tiny_vae(**arguments):
    torch.manual_seed(0)
    return SimVAE(latent_channels=2, channels=(4, 8), blocks_per_level=1, middle_blocks=1, **arguments)


def pixels(generator, batch=2, size=8):
    return torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, generator=generator)


def test_flow_loss_is_equation_3(generator):
    x0, x1 = torch.randn(2, 64, 1, 2, 2, generator=generator)
    loss, _ = FlowTask(in_pixels(Halve(), source_noise=0.1))((x0, x1), torch.Generator().manual_seed(5))
    own = torch.Generator().manual_seed(5)
    noisy = x0 + 0.1 * torch.randn(x0.shape, generator=own)
    t = torch.rand(64, generator=own).view(-1, 1, 1, 1)
    expected = (0.5 * ((1 - t) * noisy + t * x1) - (x1 - noisy)).square().mean()
    # Stratified or not, the times are uniform: the losses agree within the spread of 64 draws.
    assert float(loss.detach()) == pytest.approx(float(expected), rel=0.25)


def test_source_noise_raises_the_least_loss_by_its_variance(generator):
    """A perfect velocity for identical pairs is zero; with noise s on the source its loss is s^2."""
    zero = Halve()
    nn.init.zeros_(zero.scale)
    x = torch.randn(512, 2, 4, 4, generator=generator)
    loss, _ = FlowTask(in_pixels(zero, source_noise=0.3))((x, x), generator)
    assert float(loss.detach()) == pytest.approx(0.09, rel=0.05)


def test_ends_are_the_papers_pairs(generator):
    vae = tiny_vae(scaling_factor=2.0, shift_factor=0.25)
    batch = pixels(generator)
    x = batch.float() / 255.0
    with torch.no_grad():
        mean, target, seen = flow_ends(in_pixels(Halve()), darken, batch, generator)
        latent = LatentPMRF(autoencoder=vae, estimator=Halve(), velocity=None, size=8)
        z0, z1, _ = flow_ends(latent, darken, batch, generator)
        assert seen is None
        torch.testing.assert_close(mean, 0.25 * x)
        torch.testing.assert_close(target, x)
        torch.testing.assert_close(z0, 2.0 * (vae.encode(0.5 * x - 1.0).mean - 0.25), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(z1, 2.0 * (vae.encode(2.0 * x - 1.0).mean - 0.25), rtol=1e-4, atol=1e-5)


def test_frozen_networks_are_not_trained_or_saved():
    estimator = Halve().train()
    task = FlowTask(in_pixels(nn.Conv2d(3, 3, 1), estimator), degradation=darken)
    assert not estimator.training
    assert not estimator.scale.requires_grad
    assert all(name.startswith("network.") for name in task.state_dict())


class Spying(nn.Module):
    """Keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1))
        self.seen = []

    def forward(self, x, t):
        self.seen.append((x, t))
        return self.scale * x[:, :3]


def test_a_condition_is_seen_and_not_transported(generator):
    velocity = Spying()
    pipeline = Pipeline(
        space=Pixels(), source=NoiseSource(), condition=DegradedSource(), velocity=velocity, size=8, source_noise=1.0
    )
    batch = pixels(generator)
    FlowTask(pipeline, degradation=darken)(batch, generator)
    x0, x1 = torch.zeros(2, 3, 8, 8), batch / 255.0
    FlowTask(pipeline)((x0, x1, 0.5 * x1), generator)  # the same as a triple
    for x, _ in velocity.seen:
        assert x.shape == (2, 6, 8, 8)
        torch.testing.assert_close(x[:, 3:], 0.5 * batch / 255.0)


def test_resshift_is_trained_by_its_own_loss(generator):
    velocity = Spying()
    pipeline = ResShift(velocity=velocity, size=8)
    batch = pixels(generator)
    loss, parts = FlowTask(pipeline, degradation=darken, loss="residual-shift")(batch, torch.Generator().manual_seed(4))
    assert not parts
    loss.backward()
    assert velocity.scale.grad is not None
    clean = batch / 255.0

    def network(x, t):
        return pipeline.drift(x, t, 0.5 * clean)

    expected = residual_shift_loss(
        network, 0.5 * clean, clean, pipeline.shift, generator=torch.Generator().manual_seed(4)
    )
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(velocity.seen[0][0], velocity.seen[1][0])
    for other, options in ((pipeline, {}), (pipeline, {"loss": "residual-shift", "pixel_weight": 0.1}),
                           (in_pixels(Halve()), {"loss": "residual-shift"})):  # fmt: skip
        with pytest.raises(ValueError, match="a ResShift is trained by the loss 'residual-shift'"):
            FlowTask(other, degradation=darken, **options)


def test_elirs_loss_has_three_terms(generator):
    vae = tiny_vae(scaling_factor=2.0)
    velocity = Halve()
    pipeline = ELIR(autoencoder=vae, latent_estimator=Halve(), velocity=velocity, size=8, source_noise=0.1)
    z0, z1 = torch.randn(2, 4, 2, 4, 4, generator=generator)
    task = FlowTask(pipeline, loss="consistency", pixel_weight=0.25)
    loss, parts = task((z0, z1), torch.Generator().manual_seed(3))
    own = torch.Generator().manual_seed(3)
    noisy = z0 + 0.1 * torch.randn(z0.shape, generator=own)
    t = sample_time(4, generator=own)
    flow = consistency_flow_matching_loss(velocity, noisy, z1, t=t)
    images = [0.5 * (vae.decode(z / 2.0) + 1.0) for z in (1.5 * noisy, z1)]
    images = (images[0] - images[1]).square().mean()
    assert float(parts["flow"]) == pytest.approx(float(flow.detach()), rel=1e-5)
    assert float(parts["pixels"]) == pytest.approx(float(images.detach()), rel=1e-4)
    assert float(loss.detach()) == pytest.approx(float((flow + 0.25 * images).detach()), rel=1e-5)
    loss.backward()
    assert float(velocity.scale.grad) != 0
    assert all(parameter.grad is None for parameter in vae.parameters())


def test_the_mean_of_latents_is_learned_by_its_squared_error(generator):
    vae = tiny_vae(scaling_factor=2.0, shift_factor=0.25)
    task = LatentMeanTask(Halve(), Latents(vae), degradation=darken)
    batch = pixels(generator)
    loss, _ = task(batch, generator)
    x = batch.float() / 255.0
    with torch.no_grad():
        z0, z1 = (2.0 * (vae.encode(2.0 * image - 1.0).mean - 0.25) for image in (0.5 * x, x))
    assert float(loss.detach()) == pytest.approx(float((0.5 * z0 - z1).square().mean()), rel=1e-4)
    assert float(task((z0, z1), generator)[0].detach()) == pytest.approx(float(loss.detach()), rel=1e-4)
    assert not vae.encoder.conv_in.weight.requires_grad
    assert [name for name, _ in task.named_parameters()] == ["network.scale"]
    assert isinstance(LatentMeanSource(task.network).latent_estimator, Halve)


def transformer():
    levels = (Level(32, 1, head_dim=16), Level(32, 1, attention="global", head_dim=16))
    return HourglassTransformer(in_channels=3, patch_size=2, levels=levels, mapping_width=16)


def test_one_rate_for_all_parameters_unless_asked_otherwise():
    """The paper's "fixed 5e-4" was a third of that for the mapping network."""
    velocity = transformer()
    (group,) = FlowTask(in_pixels(velocity)).parameter_groups(5e-4, 0.01)
    assert len(group["params"]) == len(list(velocity.parameters()))
    assert (group["lr"], group["weight_decay"]) == (5e-4, 0.01)
    groups = FlowTask(in_pixels(velocity), groups="k-diffusion").parameter_groups(5e-4, 0.01)
    assert {group["lr"] for group in groups} == {5e-4, 5e-4 / 3}
    assert {group["weight_decay"] for group in groups} == {0.0, 0.01}
    assert sum(len(group["params"]) for group in groups) == len(list(velocity.parameters()))
    with pytest.raises(ValueError, match=r"Halve has no param_groups\(\): groups must be 'single'"):
        FlowTask(in_pixels(Halve()), groups="k-diffusion").parameter_groups(5e-4, 0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "huber"}, "loss must be one of 'rectified', 'consistency', 'residual-shift'; got 'huber'"),
        ({"groups": "all"}, "groups must be one of 'single', 'k-diffusion'; got 'all'"),
    ],
)
def test_names_that_are_none(change, message, generator):
    with pytest.raises(ValueError, match=message):
        FlowTask(in_pixels(Halve()), **change)
    with pytest.raises(ValueError, match="a pipeline to train must have a velocity"):
        FlowTask(in_pixels(None))
    for task in (FlowTask(in_pixels(Halve())), LatentMeanTask(Halve(), Latents(tiny_vae()))):
        with pytest.raises(ValueError, match="images are trained on with a degradation"):
            task(pixels(generator), generator)


def test_the_same_source_noise_for_training_and_restoring():
    pipeline = in_pixels(Spying(), source_noise=0.5)
    zeros = torch.zeros(512, 3, 2, 2)
    FlowTask(pipeline)((zeros, zeros), torch.Generator().manual_seed(0))
    x, t = pipeline.velocity.seen[-1]
    noise = x / (1 - t.view(-1, 1, 1, 1))
    assert float(noise[t < 0.9].std()) == pytest.approx(0.5, rel=0.05)
    assert isinstance(pipeline.source, PosteriorMeanSource)
