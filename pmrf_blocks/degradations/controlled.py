"""The four degradations of PMRF's controlled experiments at 256x256 (Ohayon et al., 2025, section 5.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from pmrf_blocks.degradations.checks import check_images
from pmrf_blocks.degradations.module import DegradationModule
from pmrf_blocks.degradations.resize import resize

Parameters = dict[str, Tensor]
Shape = tuple[int, ...]


class ControlledDegradation(DegradationModule):
    """degradation(x, generator=g) -> (degraded, x): what is observed of x, plus Gaussian noise, clipped to [0, 1].

    x is (B, 3, H, W) in [0, 1]; ValueError for another shape or dtype. sample_parameters() draws all that is random and
    degrade() is a pure function of it, image by image. A degradation of one's own gives observe(), and where it differs
    from an image of x's shape, observed_shape() and show().

    Arguments:
        sigma: standard deviation of the noise, on the scale of [0, 1].

    Examples:
        >>> class Mirrored(ControlledDegradation):
        ...     def observe(self, x, parameters):
        ...         return x.flip(-1)
        >>> x = torch.rand(1, 3, 8, 8)
        >>> degraded, target = Mirrored(sigma=0.0)(x, generator=torch.Generator().manual_seed(0))
        >>> torch.equal(degraded, x.flip(-1)), torch.equal(target, x)
        (True, True)
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        if not 0.0 <= sigma < float("inf"):
            raise ValueError(f"sigma must be at least 0; got {sigma}")
        self.sigma = sigma

    def observed_shape(self, shape: Shape) -> Shape:
        """Shape of what is observed of images of `shape`, to which the noise is added."""
        return shape

    def observe(self, x: Tensor, parameters: Parameters) -> Tensor:
        """What is observed of x, before the noise."""
        return x

    def show(self, y: Tensor, height: int, width: int) -> Tensor:
        """The noisy observation as an image (B, 3, height, width)."""
        return y

    def sample_parameters(
        self, shape: Shape, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> Parameters:
        """Draw what images of `shape` (B, 3, H, W) are degraded with, B rows each, on the generator's device."""
        size = self.observed_shape(shape)
        return {"noise": torch.randn(size, generator=generator, device=generator.device, dtype=dtype)}

    def degrade(self, x: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """Degrade with given parameters."""
        x = check_images(x)
        y = self.observe(x, parameters) + self.sigma * parameters["noise"].to(x)
        return self.show(y.clamp(0, 1), *x.shape[-2:]), x

    def forward(self, x: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = check_images(x)
        return self.degrade(x, self.sample_parameters(tuple(x.shape), generator, x.dtype))


class Denoising(ControlledDegradation):
    """Noise alone.

    Examples:
        >>> degraded, target = Denoising(sigma=0.1)(torch.rand(1, 3, 8, 8), generator=torch.Generator().manual_seed(0))
        >>> degraded.shape
        torch.Size([1, 3, 8, 8])
    """

    def __init__(self, sigma: float = 0.35) -> None:
        super().__init__(sigma)


class Inpainting(ControlledDegradation):
    """int(fraction * H * W) pixels of each image set to 0 in all channels, then noise on every pixel.

    A fixed number of pixels, as PMRF's code draws them; RandomMask draws every pixel alone.

    Examples:
        >>> generator = torch.Generator().manual_seed(0)
        >>> degraded, _ = Inpainting(fraction=0.5, sigma=0.0)(torch.ones(1, 3, 8, 8), generator=generator)
        >>> int((degraded == 0).sum()) // 3  # missing pixels
        32
    """

    def __init__(self, fraction: float = 0.9, sigma: float = 0.1) -> None:
        super().__init__(sigma)
        if not 0.0 <= fraction <= 1.0:
            raise ValueError(f"fraction must be in [0, 1]; got {fraction}")
        self.fraction = fraction

    def sample_parameters(
        self, shape: Shape, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> Parameters:
        batch, pixels = shape[0], shape[-2] * shape[-1]
        order = torch.rand((batch, pixels), generator=generator, device=generator.device).argsort(1)
        masked = torch.zeros_like(order, dtype=torch.bool).scatter_(1, order[:, : int(self.fraction * pixels)], True)
        return {"masked": masked.view(batch, 1, *shape[-2:]), **super().sample_parameters(shape, generator, dtype)}

    def observe(self, x: Tensor, parameters: Parameters) -> Tensor:
        return torch.where(parameters["masked"].to(x.device), x.new_zeros(()), x)


class Colourisation(ControlledDegradation):
    """The mean of the channels with one noise, repeated in all three channels; with channels=1 given as (B, 1, H, W).

    The noise is drawn for the one grey channel, as PMRF's code has it: noise drawn for three channels would be weaker
    by a factor of 0.58 in their mean, and the task easier.

    Examples:
        >>> Colourisation(channels=1)(torch.rand(1, 3, 8, 8), generator=torch.Generator().manual_seed(0))[0].shape
        torch.Size([1, 1, 8, 8])
    """

    def __init__(self, sigma: float = 0.25, channels: int = 3) -> None:
        super().__init__(sigma)
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3; got {channels}")
        self.channels = channels

    def observed_shape(self, shape: Shape) -> Shape:
        return (shape[0], 1, *shape[-2:])

    def observe(self, x: Tensor, parameters: Parameters) -> Tensor:
        return x.mean(1, keepdim=True)

    def show(self, y: Tensor, height: int, width: int) -> Tensor:
        return y.expand(-1, self.channels, -1, -1).contiguous()


class SuperResolution(ControlledDegradation):
    """Shrunk by `factor` (bicubic, antialiased) with noise, shown back at full size by nearest-exact.

    Examples:
        >>> generator = torch.Generator().manual_seed(0)
        >>> degraded, _ = SuperResolution(factor=4)(torch.rand(1, 3, 16, 16), generator=generator)
        >>> degraded.shape  # shown at the size of the image
        torch.Size([1, 3, 16, 16])
    """

    def __init__(self, factor: int = 8, sigma: float = 0.05) -> None:
        super().__init__(sigma)
        if factor < 1:
            raise ValueError(f"factor must be at least 1; got {factor}")
        self.factor = factor

    def observed_shape(self, shape: Shape) -> Shape:
        return (*shape[:2], *(max(1, side // self.factor) for side in shape[-2:]))

    def observe(self, x: Tensor, parameters: Parameters) -> Tensor:
        height, width = self.observed_shape(tuple(x.shape))[-2:]
        return resize(x, height, width, "bicubic").clamp(0, 1)

    def show(self, y: Tensor, height: int, width: int) -> Tensor:
        return resize(y, height, width, "nearest-exact")
