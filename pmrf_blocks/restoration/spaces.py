"""Spaces that a flow runs in: pixels, or latents of an autoencoder.

Images are (B, 3, H, W) in [0, 1]. Autoencoders take and give [-1, 1]: to_signed() and from_signed() are the conversion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor, nn

from pmrf_blocks.seeding import Generators, normal_like

Size = tuple[int, int]


def to_signed(images: Tensor) -> Tensor:
    """[0, 1] to [-1, 1], any shape."""
    return 2.0 * images - 1.0


def from_signed(x: Tensor) -> Tensor:
    """[-1, 1] to [0, 1], any shape, in float32; not clipped."""
    return 0.5 * (x.float() + 1.0)


class Space(Protocol):
    """What a pipeline asks of its space; `name` goes with the values that encode() gives, in error messages."""

    def encode(self, images: Tensor, *, tile: int | None = None, generator: Generators = None) -> Tensor:
        """The point x of images (B, 3, H, W) in [0, 1]; `generator` is for spaces that draw."""
        ...

    def decode(self, x: Tensor, size: Size | None = None, *, tile: int | None = None) -> Tensor:
        """Images (B, 3, H, W) of points, not clipped; `size` cuts what encode() padded."""
        ...


class Pixels(nn.Module):
    """Images (B, 3, H, W) in [0, 1] as they are (PMRF).

    Examples:
        >>> Pixels().encode(torch.ones(1, 3, 8, 8)).shape
        torch.Size([1, 3, 8, 8])
    """

    def encode(self, images: Tensor, *, tile: int | None = None, generator: Generators = None) -> Tensor:
        """The images themselves."""
        return images

    def decode(self, x: Tensor, size: Size | None = None, *, tile: int | None = None) -> Tensor:
        """The images themselves."""
        return x


class Latents(nn.Module):
    """Latents (B, C, h, w) of an autoencoder, brought to zero mean and unit variance (Latent-PMRF, section 3.1).

    Arguments:
        autoencoder: encodes images in [-1, 1] to a posterior, decodes latents, and has normalize(), denormalize(); with
            encode_tiled(), decode_tiled() and `downsampling` where tiles are asked for. As SimVAE.
        sample: draw from the posterior where encode() has a generator, as the authors' release does with the flow's
            source; False takes its mode, the E(x*) of the paper. Targets are modes either way.

    Attributes:
        before_layer: called before each layer of a tile, where it is set: kernels.give_back_memory returns freed memory
            to the system, for the least memory on a CPU and some 4 % more time.

    Examples:
        >>> from pmrf_blocks.autoencoders import SimVAE
        >>> space = Latents(SimVAE(latent_channels=4, channels=(8, 16, 32), blocks_per_level=1))
        >>> x = space.encode(torch.rand(1, 3, 30, 32))  # any size: padded inside
        >>> x.shape, space.decode(x, (30, 32)).shape
        (torch.Size([1, 4, 8, 8]), torch.Size([1, 3, 30, 32]))
    """

    before_layer: Callable[[], object] | None = None

    def __init__(self, autoencoder: nn.Module, sample: bool = False) -> None:
        super().__init__()
        self.autoencoder: Any = autoencoder
        self.sample = sample

    def encode(self, images: Tensor, *, tile: int | None = None, generator: Generators = None) -> Tensor:
        """Normalised latents (B, C, h, w) in float32 of images (B, 3, H, W) in [0, 1]; with `tile`, that many pixels
        squared at a time."""
        x = to_signed(images)
        if tile is None:
            posterior = self.autoencoder.encode(x)
        else:
            posterior = self.autoencoder.encode_tiled(x, tile=tile, **self._between())
        z = posterior.mode().float()
        if self.sample and generator is not None:
            z = z + posterior.std.float() * normal_like(z, generator)
        return self.autoencoder.normalize(z)

    def decode(self, x: Tensor, size: Size | None = None, *, tile: int | None = None) -> Tensor:
        """Images (B, 3, *size) in float32, not clipped, of normalised latents; without `size`, as large as the decoder
        makes them."""
        z = self.autoencoder.denormalize(x)
        if tile is None:
            images = self.autoencoder.decode(z)
        else:
            side = max(1, tile // self.autoencoder.downsampling)
            images = self.autoencoder.decode_tiled(z, tile=side, **self._between())
        if size is not None:
            images = images[..., : size[0], : size[1]]
        return from_signed(images)

    def _between(self) -> dict[str, Any]:
        """The argument of the tiled calls, which other autoencoders need not have."""
        return {} if self.before_layer is None else {"before_layer": self.before_layer}

    def extra_repr(self) -> str:
        return f"sample={self.sample}"
