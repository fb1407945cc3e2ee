"""What autoencoder and estimator minimise, against the formulas; gradients over processes."""

import json
import math

import pytest
import torch
from training_toys import Children, Halve, darken

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.degradations import BlindFaceDegradation
from pmrf_blocks.training import (
    AutoencoderTask,
    PosteriorMeanTask,
    TrainConfig,
    fit,
    latent_statistics,
)
from pmrf_blocks.training.processes import processes


def tiny_vae(**arguments):
    torch.manual_seed(0)
    return SimVAE(latent_channels=2, channels=(4, 8), blocks_per_level=1, middle_blocks=1, **arguments)


def pixels(generator, batch=2, size=8):
    return torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, generator=generator)


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


def test_degradations_are_exact_in_a_bfloat16_run(generator):
    """Blur, resampling and JPEG are convolutions and products, which autocast would round to 8 bits."""
    network = Halve()
    seen = []
    network.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    task, batch = PosteriorMeanTask(network, BlindFaceDegradation()), pixels(generator, size=32)
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            task(batch, torch.Generator().manual_seed(1))
    assert torch.equal(*seen)


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
