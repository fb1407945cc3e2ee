"""SD-VAE: the autoencoder of Stable Diffusion and FLUX.1, the other end of the paper's ablation (table 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pmrf_blocks.autoencoders.blocks import Block
from pmrf_blocks.autoencoders.design import MiddleLayer
from pmrf_blocks.autoencoders.norms import Norm
from pmrf_blocks.autoencoders.resize import Resize
from pmrf_blocks.autoencoders.sim_vae import SimVAE


class SDVAE(SimVAE):
    """SimVAE with every choice at SD-VAE's end; 84.0 M parameters at f8c32, as the paper trains it.

    Arguments are SimVAE's. The published ones: SD1.5 and SDXL have 4 latent channels and quant_conv, FLUX.1 has 16
    and none; load_autoencoder() reads them.

    Examples:
        >>> vae = SDVAE(latent_channels=4, channels=(16, 32), blocks_per_level=1, norm_groups=8).eval()
        >>> vae.encode(torch.zeros(1, 3, 16, 16)).mean.shape
        torch.Size([1, 4, 8, 8])
    """

    def __init__(
        self,
        latent_channels: int = 32,
        *,
        channels: Sequence[int] = (128, 256, 512, 512),
        blocks_per_level: int = 2,
        middle_blocks: int = 3,
        norm: str | Norm = "group",
        norm_groups: int = 32,
        middle: str | MiddleLayer = "attention",
        resize: str | tuple[Resize, Resize] = "separate",
        upsample: str | Resize = "nearest",
        block: str | Block = "sd",
        residual: bool = False,
        quant_conv: bool = False,
        image_channels: int = 3,
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
        diffusers_config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            latent_channels,
            channels=channels,
            blocks_per_level=blocks_per_level,
            middle_blocks=middle_blocks,
            norm=norm,
            norm_groups=norm_groups,
            middle=middle,
            resize=resize,
            upsample=upsample,
            block=block,
            residual=residual,
            quant_conv=quant_conv,
            image_channels=image_channels,
            scaling_factor=scaling_factor,
            shift_factor=shift_factor,
            diffusers_config=diffusers_config,
        )
