"""What each stage minimises, against its formula; the flow's pairs; gradients over processes."""

import json
import math

import pytest
import torch
from torch import nn
from training_toys import Children

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.training import (
    AutoencoderTask,
    LatentCoupling,
    PixelCoupling,
    PosteriorMeanTask,
    TrainConfig,
    fit,
    given_pairs,
    latent_statistics,
)
from pmrf_blocks.training.processes import processes
from pmrf_blocks.training.tasks import CouplingFlowTask as FlowTask


def tiny_vae(**arguments):
    torch.manual_seed(0)
    return SimVAE(latent_channels=2, channels=(4, 8), blocks_per_level=1, middle_blocks=1, **arguments)


def pixels(generator, batch=2, size=8):
    return torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, generator=generator)


def darken(x, *, generator):
    return 0.5 * x, x


class Halve(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x, t=None):
        return self.scale * x


def test_autoencoder_loss_is_equation_9(generator):
    task = AutoencoderTask(tiny_vae(), kl_weight=0.25)
    batch = pixels(generator)
    loss, parts = task(batch, torch.Generator().manual_seed(3))
    x = batch.float() / 127.5 - 1.0
    posterior = task.network.encode(x)
    noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(3))
    y = task.network.decode(posterior.mean + posterior.std * noise)
    kl = 0.5 * (posterior.mean**2 + posterior.std**2 - 1.0 - posterior.logvar).sum((1, 2, 3)).mean()
    assert float(parts["l1"].detach()) == pytest.approx(float((y - x).abs().mean().detach()), rel=1e-4)
    assert float(parts["kl"].detach()) == pytest.approx(float(kl.detach()), rel=1e-4)
    assert float(loss.detach()) == pytest.approx(float((parts["l1"] + 0.25 * parts["kl"]).detach()), rel=1e-5)


def test_posterior_mean_loss_is_the_squared_error(generator):
    task = PosteriorMeanTask(Halve(), darken)
    batch = pixels(generator)
    loss, _ = task(batch, generator)
    assert float(loss.detach()) == pytest.approx(float((0.75 * batch.float() / 255.0).square().mean()))
    scores = task.scores(batch[:1], generator)
    assert scores["psnr"] < scores["psnr_degraded"]


def test_flow_loss_is_equation_3(generator):
    x0, x1 = torch.randn(2, 64, 1, 2, 2, generator=generator)
    loss, _ = FlowTask(Halve(), given_pairs, source_noise=0.1)((x0, x1), torch.Generator().manual_seed(5))
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
    loss, _ = FlowTask(zero, given_pairs, source_noise=0.3)((x, x), generator)
    assert float(loss.detach()) == pytest.approx(0.09, rel=0.05)


def test_couplings_are_the_papers_pairs(generator):
    vae = tiny_vae(scaling_factor=2.0, shift_factor=0.25)
    batch = pixels(generator)
    x = batch.float() / 255.0
    with torch.no_grad():
        mean, target = PixelCoupling(Halve(), darken)(batch, generator)
        z0, z1 = LatentCoupling(vae, Halve(), darken)(batch, generator)
        torch.testing.assert_close(mean, 0.25 * x)
        torch.testing.assert_close(target, x)
        torch.testing.assert_close(z0, 2.0 * (vae.encode(0.5 * x - 1.0).mean - 0.25), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(z1, 2.0 * (vae.encode(2.0 * x - 1.0).mean - 0.25), rtol=1e-4, atol=1e-5)


def test_frozen_networks_are_not_trained_or_saved():
    estimator = Halve().train()
    task = FlowTask(nn.Conv2d(3, 3, 1), PixelCoupling(estimator, darken))
    assert not estimator.training
    assert not estimator.scale.requires_grad
    assert all(name.startswith("network.") for name in task.state_dict())


def test_latent_statistics_normalise(generator):
    vae = tiny_vae()
    batches = [pixels(generator, 3), pixels(generator, 5)]
    with torch.no_grad():
        scale, shift = latent_statistics(vae, batches)
        z = torch.cat([vae.encode(b.float() / 127.5 - 1.0).mean for b in batches])
    normal = scale * (z - shift)
    assert float(normal.mean()) == pytest.approx(0.0, abs=1e-4)
    assert float(normal.std(correction=0)) == pytest.approx(1.0, rel=1e-4)
    assert math.isfinite(scale)
    with pytest.raises(ValueError, match="at least one batch"):
        latent_statistics(vae, [])


class Noise(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, key):
        return pixels(torch.Generator().manual_seed(key[0]), 1)[0]


class WithoutNoise(AutoencoderTask):  # noise is drawn anew on each process
    def forward(self, pixels, generator):
        x = pixels.float() / 127.5 - 1
        loss = (self.network.decode(self.network.encode(x).mean) - x).abs().mean()
        return loss, {}


def train_share(folder, started):
    """Each process starts from weights of its own: the first one's are everybody's."""
    state = processes("cpu")
    vae = tiny_vae()
    if not state.is_main_process:
        torch.nn.init.zeros_(vae.decoder.conv_in.weight)
    config = TrainConfig(steps=3, batch_size=4 // state.num_processes, lr=1e-2, ema=0.0, trackers=())
    trained = fit(config, WithoutNoise(vae), Noise(), folder, validation=Noise(), device="cpu")
    torch.save(trained.state_dict(), folder / f"{state.process_index}.pt")


def test_two_processes_at_half_the_batch_are_one(tmp_path):
    """The whole path through accelerate: gradients are averaged although the loss calls encode and decode itself."""
    for world in (1, 2):
        assert Children(train_share, tmp_path / str(world), world=world).wait() == [0] * world
    one, two, other = (torch.load(tmp_path / name, weights_only=True) for name in ("1/0.pt", "2/0.pt", "2/1.pt"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=0, atol=3e-4)  # of steps of 1e-2; Adam magnifies rounding
        assert torch.equal(two[name], other[name])
    scores = [json.loads((tmp_path / w / "stats.jsonl").read_text().splitlines()[-1])["val_psnr"] for w in "12"]
    assert scores[0] == pytest.approx(scores[1], abs=0.05)
