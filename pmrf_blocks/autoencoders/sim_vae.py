"""Sim-VAE (section 3.3, appendix B): the autoencoder in whose latent space Latent-PMRF flows."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmrf_blocks.autoencoders.blocks import Block
from pmrf_blocks.autoencoders.design import Design, MiddleLayer
from pmrf_blocks.autoencoders.networks import Chain, Decoder, Encoder
from pmrf_blocks.autoencoders.norms import Norm
from pmrf_blocks.autoencoders.posterior import DiagonalGaussian
from pmrf_blocks.autoencoders.resize import Resize
from pmrf_blocks.autoencoders.tiling import run_tiled
from pmrf_blocks.pretrained import Pretrained


class SimVAE(nn.Module, Pretrained):
    """Variational autoencoder of plain convolutions and per-pixel norms; 91,030,595 parameters as published (f8c32).

    Arguments:
        latent_channels: channels of the latent; 16 to 48 in the paper's table 3.
        channels: width of each level, from full resolution down; each further level halves the image.
        blocks_per_level: residual blocks a level in the encoder; the decoder has one more.
        middle_blocks: layers at the lowest resolution, in encoder and decoder each.
        norm: 'layer' (over the channels of a pixel), 'group' (of norm_groups groups), or a class or function of the
            number of channels.
        middle: 'conv', 'attention' (the second of the middle's layers is self-attention), or what makes that second
            layer of the number of channels.
        resize: 'fused' (the resizing layer changes the channels), 'separate' (the block after it does), or two classes
            or functions of (in_channels, out_channels), which halve and double the image and change the channels.
        upsample: 'nearest' (then convolution), 'pixel_shuffle', or a class or function of (in_channels, out_channels).
        block: 'simple' (one norm, one activation), 'sd' (two of each, and one more before the last convolution), or a
            class or function of (in_channels, out_channels, norm), norm itself a function of the channels.
        residual: shortcuts without parameters around each resizing layer, the first and the last convolution: pixels
            of a square become channels, or channels pixels, averaged or repeated (DC-AE's; no part of the paper).
        quant_conv: 1x1 convolutions on the moments and before the decoder, as in SD-VAE's first releases.
        image_channels: of the images that are encoded and decoded.
        scaling_factor, shift_factor: latents that a flow sees are (z - shift_factor) * scaling_factor.
        diffusers_config: what a configuration of diffusers says besides, kept for save_diffusers().

    Images are RGB in [-1, 1], (B, 3, H, W), of any size: they are padded by replication to a multiple of
    `downsampling` before the encoder, and forward() crops its reconstruction back.

    Examples:
        >>> vae = SimVAE(latent_channels=4, channels=(16, 32, 32), blocks_per_level=1).eval()
        >>> posterior = vae.encode(torch.zeros(1, 3, 48, 40))
        >>> posterior.mode().shape
        torch.Size([1, 4, 12, 10])
        >>> vae.decode(posterior.mode()).shape
        torch.Size([1, 3, 48, 40])
    """

    def __init__(
        self,
        latent_channels: int = 32,
        *,
        channels: Sequence[int] = (128, 256, 512, 512),
        blocks_per_level: int = 2,
        middle_blocks: int = 3,
        norm: str | Norm = "layer",
        norm_groups: int = 32,
        middle: str | MiddleLayer = "conv",
        resize: str | tuple[Resize, Resize] = "fused",
        upsample: str | Resize = "nearest",
        block: str | Block = "simple",
        residual: bool = False,
        quant_conv: bool = False,
        image_channels: int = 3,
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
        diffusers_config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        design = Design(norm, norm_groups, middle, resize, upsample, block, residual)
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
        self.design = design
        moments, depth = 2 * latent_channels, blocks_per_level
        self.encoder = Encoder(image_channels, moments, channels, depth, middle_blocks, design)
        self.decoder = Decoder(latent_channels, image_channels, channels, depth + 1, middle_blocks, design)
        if quant_conv:
            self.quant_conv = nn.Conv2d(moments, moments, 1)
            self.post_quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether layers are computed again in the backward pass: less memory, more time."""
        return self.encoder.gradient_checkpointing

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, on: bool) -> None:
        self.encoder.gradient_checkpointing = self.decoder.gradient_checkpointing = on

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights: of the first parameter or buffer of floating-point numbers, float32 where there is none."""
        tensors = itertools.chain(self.parameters(), self.buffers())
        return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)

    @property
    def device(self) -> torch.device:
        """Of the weights."""
        return next(
            (tensor.device for tensor in itertools.chain(self.parameters(), self.buffers())), torch.device("cpu")
        )

    def num_parameters(self, only_trainable: bool = False) -> int:
        """How many numbers the weights are, or those that gradients are taken of."""
        return sum(weight.numel() for weight in self.parameters() if weight.requires_grad or not only_trainable)

    def encode(self, x: Tensor) -> DiagonalGaussian:
        """Posterior over latents (B, C, ceil(H / f), ceil(W / f)) of images (B, 3, H, W) in [-1, 1].

        ValueError for another shape, or another dtype than the weights' where autocast does not cast.
        """
        return DiagonalGaussian(self._quantize(self.encoder(self._padded(x))))

    def decode(self, z: Tensor) -> Tensor:
        """Images (B, 3, f * h, f * w), about [-1, 1] and not clipped, of latents (B, C, h, w); errors as encode()."""
        self._check_latent(z)
        return self.decoder(self._dequantize(z))

    def encode_tiled(
        self, x: Tensor, tile: int = 256, *, before_layer: Callable[[], object] | None = None
    ) -> DiagonalGaussian:
        """encode(x), computed for tile x tile pixels at a time: memory is bounded whatever the image.

        Equal to encode(x) but for rounding. Where a layer sees the whole image (group norm, attention, a layer of one's
        own that states no locality) it cannot be: a RuntimeWarning names the layer, and overlapping tiles are blended.
        `before_layer` is called before each layer of a tile, such as kernels.give_back_memory. ValueError for a tile
        of less than one latent.
        """
        if tile < self.downsampling:
            raise ValueError(f"tile must be at least {self.downsampling} pixels; got {tile}")
        layers = [*self.encoder.steps(), *self._optional("quant_conv")]
        x, tile = self._padded(x), tile // self.downsampling
        return DiagonalGaussian(self._tiled("encode_tiled", self.encoder, layers, x, tile, before_layer))

    def decode_tiled(self, z: Tensor, tile: int = 32, *, before_layer: Callable[[], object] | None = None) -> Tensor:
        """decode(z), computed for tile x tile latents at a time; exact where encode_tiled is."""
        self._check_latent(z)
        if tile < 1:
            raise ValueError(f"tile must be at least 1 latent; got {tile}")
        layers = [*self._optional("post_quant_conv"), *self.decoder.steps()]
        return self._tiled("decode_tiled", self.decoder, layers, z, tile * self.downsampling, before_layer)

    def _tiled(
        self, name: str, network: Chain, layers: Sequence[nn.Module], x: Tensor, tile: int,
        before_layer: Callable[[], object] | None,
    ) -> Tensor:  # fmt: skip
        def warn(layer: nn.Module, reason: str) -> None:
            place = next(place for place, module in self.named_modules() if module is layer)
            message = f"{name} is not exact here, and seams are blended: {place} ({type(layer).__name__}): {reason}"
            warnings.warn(message, RuntimeWarning, stacklevel=5)

        return run_tiled(network, layers, x, tile=tile, warn=warn, before_layer=before_layer)

    def _padded(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.image_channels:
            raise ValueError(f"images must be (B, {self.image_channels}, H, W); got {tuple(x.shape)}")
        self._check_values(x, "images")
        bottom, right = (-size % self.downsampling for size in x.shape[-2:])
        return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x

    def _check_latent(self, z: Tensor) -> None:
        if z.ndim != 4 or z.shape[1] != self.latent_channels:
            raise ValueError(f"latents must be (B, {self.latent_channels}, h, w); got {tuple(z.shape)}")
        self._check_values(z, "latents")

    def _check_values(self, x: Tensor, name: str) -> None:
        if 0 in x.shape[-2:]:
            raise ValueError(f"{name} must have at least one pixel; got {tuple(x.shape)}")
        if not (x.dtype == self.dtype or (x.is_floating_point() and torch.is_autocast_enabled(x.device.type))):
            raise ValueError(f"{name} must be {self.dtype} as the weights are; got {x.dtype}")

    def _optional(self, name: str) -> tuple[nn.Module, ...]:
        return (getattr(self, name),) if hasattr(self, name) else ()

    def _quantize(self, moments: Tensor) -> Tensor:
        return self.quant_conv(moments) if hasattr(self, "quant_conv") else moments

    def _dequantize(self, z: Tensor) -> Tensor:
        return self.post_quant_conv(z) if hasattr(self, "post_quant_conv") else z

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
