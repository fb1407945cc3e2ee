"""The pairs that a flow is trained between: posterior mean and clean image, in pixels or in latents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.data import SampleKey
from pmrf_blocks.seeding import derive_generator, derive_seed
from pmrf_blocks.training.precision import fast_bfloat16
from pmrf_blocks.training.tasks import Coupling, Degradation, to_unit


class PixelCoupling:
    """PMRF: the clipped posterior mean and the clean image, in [0, 1] (Ohayon et al., 2025)."""

    def __init__(self, estimator: nn.Module, degradation: Degradation) -> None:
        self.estimator = estimator.eval().requires_grad_(False)
        self.degradation = degradation
        self.frozen: tuple[nn.Module, ...] = (self.estimator,)

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        degraded, target = self.degradation(to_unit(pixels), generator=generator)
        return self.estimator(degraded).float().clamp(0, 1), target

    @staticmethod
    def to_image(x: Tensor) -> Tensor:
        """Images in [0, 1] of the flow's ends: these themselves."""
        return x


class LatentCoupling:
    """Latent-PMRF: the normalised latents of the posterior mean and of the clean image (section 3.1, figure 2)."""

    def __init__(self, autoencoder: SimVAE, estimator: nn.Module, degradation: Degradation) -> None:
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.pixels = PixelCoupling(estimator, degradation)
        self.frozen = (self.autoencoder, *self.pixels.frozen)

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        mean, target = self.pixels(pixels, generator)
        both = self.autoencoder.encode(2.0 * torch.cat((mean, target)) - 1.0).mode().float()
        z0, z1 = self.autoencoder.normalize(both).chunk(2)
        return z0, z1

    def to_image(self, z: Tensor) -> Tensor:
        """Images in [0, 1] of normalised latents."""
        return 0.5 * (self.autoencoder.decode(self.autoencoder.denormalize(z)).float() + 1.0)


class PairDataset(Dataset[tuple[Tensor, Tensor]]):
    """Pairs computed beforehand, held in half precision."""

    def __init__(self, x0: Tensor, x1: Tensor) -> None:
        if x0.shape != x1.shape:
            raise ValueError(f"pairs must have one shape; got {tuple(x0.shape)} and {tuple(x1.shape)}")
        self.x0, self.x1 = x0, x1

    def __len__(self) -> int:
        return len(self.x0)

    def __getitem__(self, key: int | SampleKey) -> tuple[Tensor, Tensor]:
        index = key[0] if isinstance(key, tuple) else key
        return self.x0[index].float(), self.x1[index].float()


def given_pairs(batch: Sequence[Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The coupling of a PairDataset: the pairs as they are."""
    x0, x1 = batch
    return x0, x1


@torch.no_grad()
def precompute_pairs(
    coupling: Coupling, dataset: Dataset, *, rounds: int, seed: int, batch_size: int = 32
) -> PairDataset:
    """Run a coupling over the whole set `rounds` times, each time with fresh crops, flips and degradations.

    Where encoder and estimator cost more than the flow's own update, a cache of pairs saves most of the time; a
    new cache with another seed now and then keeps the degradations fresh.
    """
    keys = [
        SampleKey(index, derive_seed(seed, "pair", turn, index))
        for turn in range(rounds)
        for index in range(len(dataset))  # type: ignore[arg-type]
    ]
    x0s, x1s = [], []
    for start in tqdm(range(0, len(keys), batch_size), desc="pairs", unit="batch"):
        batch = torch.utils.data.default_collate([dataset[key] for key in keys[start : start + batch_size]])
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=fast_bfloat16(batch.device)):
            x0, x1 = coupling(batch, derive_generator(seed, "pairs", start, device=batch.device))
        x0s.append(x0.half())
        x1s.append(x1.half())
    return PairDataset(torch.cat(x0s), torch.cat(x1s))
