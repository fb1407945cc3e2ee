"""Degraded images made beforehand are those of their seeds, and are trained on as fresh ones are."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

from pmrf_blocks.data import SampleKey
from pmrf_blocks.degradations import BlindFaceDegradation
from pmrf_blocks.restoration.composition import compose
from pmrf_blocks.seeding import derive_generator, derive_seed
from pmrf_blocks.training import DegradedImages, FlowTask, precompute_pairs, write_degraded
from pmrf_blocks.training.tasks import PosteriorMeanTask, degrade


class Noise(Dataset):
    """Three random images, whose brightness is a function of the seed."""

    def __len__(self):
        return 3

    def __getitem__(self, key):
        rng = np.random.default_rng([key.image, key.seed % 2**32])
        return torch.from_numpy(rng.integers(0, 256, (3, 16, 16), dtype=np.uint8))


class Bright:
    def __call__(self, x, *, generator):
        return x + 1.0, x


@pytest.fixture
def made(tmp_path):
    return write_degraded(tmp_path / "runs" / "degraded.npy", Noise(), BlindFaceDegradation(), rounds=2, seed=5)


def test_pairs_are_a_function_of_the_seed(made, tmp_path):
    for position in range(6):
        turn, index = divmod(position, 3)
        pixels = Noise()[SampleKey(index, derive_seed(5, "pair", turn, index))]
        ours = degrade(BlindFaceDegradation(), pixels[None], derive_generator(5, "degrade", position))
        for got, expected in zip(made[position], ours):
            assert got.dtype == torch.uint8
            torch.testing.assert_close(got / 255.0, expected[0], atol=0.5 / 255, rtol=0)
    others = write_degraded(tmp_path / "others.npy", Noise(), BlindFaceDegradation(), rounds=2, seed=5, workers=2)
    assert all(torch.equal(a, b) for i in range(6) for a, b in zip(made[i], others[SampleKey(i, 9)]))
    assert sorted(path.name for path in tmp_path.rglob("*.npy")) == ["degraded.npy", "others.npy"]


def test_a_file_that_is_there_is_kept(made):
    before = made.path.read_bytes()
    again = write_degraded(made.path, Noise(), Bright(), rounds=2, seed=5)
    assert again.path.read_bytes() == before
    assert again.identity() == made.identity()
    assert len(DegradedImages(made.path)) == 6


def test_refused(tmp_path):
    with pytest.raises(ValueError, match="rounds must be at least 1; got 0"):
        write_degraded(tmp_path / "a.npy", Noise(), BlindFaceDegradation(), rounds=0)
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        write_degraded(tmp_path / "a.npy", Noise(), Bright(), rounds=1)
    assert not list(tmp_path.iterdir())


def test_trained_on_as_fresh_ones_are(made):
    batch = torch.utils.data.default_collate([made[i] for i in range(4)])
    network, generator = nn.Conv2d(3, 3, 1), torch.Generator().manual_seed(0)
    loss, _ = PosteriorMeanTask(network, BlindFaceDegradation())(batch, generator)
    torch.testing.assert_close(loss, F.mse_loss(network(batch[0] / 255.0), batch[1] / 255.0))

    class Still(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.zeros(()))

        def forward(self, x, t, condition=None):
            return self.scale * x

    pipeline = compose("degraded", autoencoder=None, velocity=Still(), size=16)
    loss, _ = FlowTask(pipeline)(batch, generator)
    torch.testing.assert_close(loss, F.mse_loss(batch[0] / 255.0, batch[1] / 255.0))  # the velocity is x1 - x0
    pairs = precompute_pairs(pipeline, None, made, rounds=1, seed=0, device="cpu")
    assert len(pairs) == 6
    torch.testing.assert_close(pairs[2][0], made[2][0] / 255.0, atol=1e-3, rtol=0)


def test_images_need_a_degradation():
    with pytest.raises(ValueError, match="images are trained on with a degradation"):
        degrade(None, torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.Generator())
