"""Sim-VAE (section 3.3, appendix B): the autoencoder in whose latent space Latent-PMRF flows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmrf_blocks.autoencoders.blocks import UPSAMPLERS, Downsample, Norm, SimpleResBlock
from pmrf_blocks.autoencoders.norms import NORMS
from pmrf_blocks.autoencoders.posterior import DiagonalGaussian
from pmrf_blocks.pretrained import Pretrained


class Level(nn.Module):
    """Residual blocks at one resolution, then the resizing layer to the next level, if any."""

    def __init__(self, channels: int, blocks: int, norm: Norm, resize_name: str, resize: nn.Module | None) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(SimpleResBlock(channels, norm) for _ in range(blocks))
        self.resize_name = resize_name  # 'downsampler' or 'upsampler', as the published keys have it
        if resize is not None:
            self.add_module(resize_name, resize)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.resnets:
            x = block(x)
        resize = getattr(self, self.resize_name, None)
        return x if resize is None else resize(x)


class Encoder(nn.Module):
    """Image (B, 3, H, W) to moments (B, 2 * latent_channels, H / f, W / f), f = 2 ** (levels - 1)."""

    def __init__(
        self, in_channels: int, latent_channels: int, channels: Sequence[int], blocks: int, middle: int, norm: Norm
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, channels[0], 3, padding=1)
        following = [*channels[1:], None]
        self.down_blocks = nn.ModuleList(
            Level(width, blocks, norm, "downsampler", None if after is None else Downsample(width, after))
            for width, after in zip(channels, following)
        )
        self.mid_block = Level(channels[-1], middle, norm, "downsampler", None)
        self.conv_out = nn.Conv2d(channels[-1], 2 * latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down_blocks:
            x = level(x)
        return self.conv_out(self.mid_block(x))


class Decoder(nn.Module):
    """Latent (B, latent_channels, h, w) to image (B, 3, f * h, f * w)."""

    def __init__(
        self,
        out_channels: int,
        latent_channels: int,
        channels: Sequence[int],
        blocks: int,
        middle: int,
        norm: Norm,
        upsample: str,
    ) -> None:
        super().__init__()
        widths = list(reversed(channels))
        self.conv_in = nn.Conv2d(latent_channels, widths[0], 3, padding=1)
        self.mid_block = Level(widths[0], middle, norm, "upsampler", None)
        following = [*widths[1:], None]
        self.up_blocks = nn.ModuleList(
            Level(width, blocks, norm, "upsampler", None if after is None else UPSAMPLERS[upsample](width, after))
            for width, after in zip(widths, following)
        )
        self.conv_out = nn.Conv2d(widths[-1], out_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        z = self.mid_block(self.conv_in(z))
        for level in self.up_blocks:
            z = level(z)
        return self.conv_out(z)


class SimVAE(nn.Module, Pretrained):
    """Variational autoencoder of plain convolutions and per-pixel norms; 91,030,595 parameters as published (f8c32).

    Arguments:
        latent_channels: channels of the latent; 16 to 48 in the paper's table 3.
        channels: width of each level, from full resolution down; each further level halves the image.
        blocks_per_level: residual blocks a level in the encoder; the decoder has one more.
        middle_blocks: residual blocks at the lowest resolution, in encoder and decoder each.
        norm: 'layer' (over the channels of a pixel) or 'group' (32 groups).
        upsample: 'nearest' (then convolution) or 'pixel_shuffle'.
        scaling_factor, shift_factor: latents that a flow sees are (z - shift_factor) * scaling_factor.

    Images are RGB in [-1, 1], (B, 3, H, W), of any size: they are padded by replication to a multiple of
    `downsampling` before the encoder, and forward() crops its reconstruction back.
    """

    def __init__(
        self,
        latent_channels: int = 32,
        *,
        channels: Sequence[int] = (128, 256, 512, 512),
        blocks_per_level: int = 2,
        middle_blocks: int = 3,
        norm: str = "layer",
        upsample: str = "nearest",
        image_channels: int = 3,
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value, valid in (("norm", norm, NORMS), ("upsample", upsample, UPSAMPLERS)):
            if value not in valid:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, valid))}; got {value!r}")
        sizes = {
            "latent_channels": latent_channels,
            "blocks_per_level": blocks_per_level,
            "middle_blocks": middle_blocks,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1; got {size}")
        if not channels or min(channels) < 1:
            raise ValueError(f"channels must name at least one positive width; got {tuple(channels)}")
        self.latent_channels = latent_channels
        self.image_channels = image_channels
        self.downsampling = 2 ** (len(channels) - 1)
        self.scaling_factor = scaling_factor
        self.shift_factor = shift_factor
        make_norm = NORMS[norm]
        self.encoder = Encoder(image_channels, latent_channels, channels, blocks_per_level, middle_blocks, make_norm)
        self.decoder = Decoder(
            image_channels, latent_channels, channels, blocks_per_level + 1, middle_blocks, make_norm, upsample
        )

    def encode(self, x: Tensor) -> DiagonalGaussian:
        """Posterior over latents (B, C, ceil(H / f), ceil(W / f)) of images (B, 3, H, W) in [-1, 1]."""
        if x.ndim != 4 or x.shape[1] != self.image_channels:
            raise ValueError(f"images must be (B, {self.image_channels}, H, W); got {tuple(x.shape)}")
        height, width = x.shape[-2:]
        bottom, right = -height % self.downsampling, -width % self.downsampling
        if bottom or right:
            x = F.pad(x, (0, right, 0, bottom), mode="replicate")
        return DiagonalGaussian(self.encoder(x))

    def decode(self, z: Tensor) -> Tensor:
        """Images (B, 3, f * h, f * w), about [-1, 1] and not clipped, of latents (B, C, h, w)."""
        if z.ndim != 4 or z.shape[1] != self.latent_channels:
            raise ValueError(f"latents must be (B, {self.latent_channels}, h, w); got {tuple(z.shape)}")
        return self.decoder(z)

    def forward(self, x: Tensor, *, sample: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """Reconstruction of x at its own size, through the posterior's mode or one sample of it."""
        posterior = self.encode(x)
        z = posterior.sample(generator) if sample else posterior.mode()
        return self.decode(z)[..., : x.shape[-2], : x.shape[-1]]

    def normalize(self, z: Tensor) -> Tensor:
        """Latents as the flow sees them: about zero mean and unit variance."""
        return (z - self.shift_factor) * self.scaling_factor

    def denormalize(self, z: Tensor) -> Tensor:
        """Inverse of normalize()."""
        return z / self.scaling_factor + self.shift_factor

    def extra_repr(self) -> str:
        return f"f{self.downsampling}c{self.latent_channels}, scaling_factor={self.scaling_factor}"
