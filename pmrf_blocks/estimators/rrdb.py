"""Residual-in-residual dense blocks on latents (ELIR; Peretz et al., 2025): the posterior mean E[z | E(y)] of latents.

Where Latent-PMRF encodes the posterior mean of the image, ELIR estimates the mean of the latent itself. Latents are
(B, C, h, w), of any size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmrf_blocks.pretrained import Pretrained

RESIDUAL = 0.2  # share of a block's result that is added to its input
EXPANSION = 4  # times as many channels between the two linear maps of an expanded convolution


class DenseConv(nn.Module):
    """3x3 convolution. `expanded` trains it as a 3x3 convolution to four times the channels and a 1x1 back, with
    nothing between: the same functions, other steps of the optimiser; collapse() makes one convolution of the two."""

    def __init__(self, inputs: int, outputs: int, *, expanded: bool) -> None:
        super().__init__()
        inner = EXPANSION * outputs if expanded else outputs
        layers = [nn.Conv2d(inputs, inner, 3, padding=1)]
        if expanded:
            layers.append(nn.Conv2d(inner, outputs, 1))
        self.block = nn.ModuleList(layers)  # the published name of the weights

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.block.children():
            x = layer(x)
        return x

    @torch.no_grad()
    def collapse(self) -> None:
        """Replace the pair by the one convolution that is their product; exact at the border too."""
        if len(self.block) == 1:
            return
        wide, narrow = self.block.children()
        assert isinstance(wide, nn.Conv2d)
        assert isinstance(narrow, nn.Conv2d)
        assert wide.bias is not None
        assert narrow.bias is not None
        matrix = narrow.weight[:, :, 0, 0]
        one = nn.Conv2d(wide.in_channels, narrow.out_channels, 3, padding=1).to(wide.weight)
        one.weight.copy_(torch.einsum("om,mihw->oihw", matrix, wide.weight))
        assert one.bias is not None
        one.bias.copy_(matrix @ wide.bias + narrow.bias)
        self.block = nn.ModuleList([one])


class DenseBlock(nn.Module):
    """x + 0.2 * conv5(...): five convolutions, each on x and all results before it; SiLU after the first four."""

    def __init__(self, channels: int, hidden: int, *, expanded: bool) -> None:
        super().__init__()
        for i in range(1, 6):
            outputs = hidden if i < 5 else channels
            setattr(self, f"conv{i}", DenseConv(channels + (i - 1) * hidden, outputs, expanded=expanded))

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for i in range(1, 5):
            seen = torch.cat((seen, F.silu(self.get_submodule(f"conv{i}")(seen))), 1)
        return x + RESIDUAL * self.get_submodule("conv5")(seen)


class ResidualDenseBlock(nn.Module):
    """x + 0.2 * (three dense blocks of x)."""

    def __init__(self, channels: int, hidden: int, *, expanded: bool) -> None:
        super().__init__()
        for i in (1, 2, 3):
            setattr(self, f"RDB{i}", DenseBlock(channels, hidden, expanded=expanded))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for block in self.children():
            y = block(y)
        return x + RESIDUAL * y


class RRDB(nn.Module, Pretrained):
    """Latents (B, channels, h, w) of degraded images to an estimate of E[latent of the sharp one], same shape.

    The source of a flow that starts at the mean of latents: z0 = RRDB(E(y)), trained with the squared error to E(x).
    Convolutions alone, no norm: give it latents of about unit variance. Names of the weights are ELIR's.

    Arguments:
        channels: of the latent; 16 in ELIR.
        hidden: channels that each of a dense block's first four convolutions adds.
        blocks: residual-in-residual dense blocks.
        expanded: train every convolution as a pair (ELIR's training); collapse() before use.

    Raises ValueError for arguments, or latents, that do not fit.

    Examples:
        >>> RRDB(channels=3, hidden=8, blocks=1)(torch.rand(1, 3, 8, 10)).shape
        torch.Size([1, 3, 8, 10])
    """

    def __init__(self, *, channels: int = 16, hidden: int = 96, blocks: int = 3, expanded: bool = False) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("hidden", hidden), ("blocks", blocks)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1; got {value}")
        self.channels = channels
        self.lrm = nn.Sequential(*(ResidualDenseBlock(channels, hidden, expanded=expanded) for _ in range(blocks)))

    def forward(self, z: Tensor) -> Tensor:
        if z.ndim != 4 or z.shape[1] != self.channels or 0 in z.shape:
            raise ValueError(f"latents must be (B, {self.channels}, h, w), none of them 0; got {tuple(z.shape)}")
        return z + self.lrm(z)

    def collapse(self) -> RRDB:
        """One convolution in place of each expanded pair; returns the network, which computes what it did before."""
        for module in self.modules():
            if isinstance(module, DenseConv):
                module.collapse()
        self.config["expanded"] = False
        return self


def elir_rrdb(channels: int = 16, *, expanded: bool = False) -> RRDB:
    """ELIR's estimator: three blocks of hidden width 96; 5.5 M parameters on 16 channels (collapsed).

    Examples:
        >>> with torch.device("meta"):
        ...     sum(p.numel() for p in elir_rrdb(16).parameters()) > 1_000_000
        True
    """
    return RRDB(channels=channels, expanded=expanded)
