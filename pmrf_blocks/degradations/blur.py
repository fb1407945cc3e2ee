"""Gaussian blur with a kernel of its own for every image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.degradations.checks import check_images
from pmrf_blocks.degradations.module import DegradationModule

LARGE = 15  # sides of kernels from here on are quicker in the Fourier domain than as sums


def gaussian_kernel(size: int, sigma_x: float | Tensor, sigma_y: float | Tensor, theta: float | Tensor = 0.0) -> Tensor:
    """Bivariate Gaussian as BasicSR samples it: (size, size), or (B, size, size) for tensors (B,); sums to 1.

    sigma_x and sigma_y are standard deviations in pixels along the ellipse's axes, theta the angle in radians of the
    first axis to the columns' direction. Isotropic where they are equal. The kernel of GFPGAN's degradation.

    Raises ValueError for an even size, or a sigma that is not positive.

    Examples:
        >>> kernel = gaussian_kernel(5, 1.0, 2.0, theta=0.3)
        >>> kernel.shape[-2:], round(kernel.sum().item(), 4)
        (torch.Size([5, 5]), 1.0)
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"size must be odd and at least 1; got {size}")
    sx, sy, angle = (torch.as_tensor(v, dtype=torch.get_default_dtype()) if not isinstance(v, Tensor) else v
                     for v in (sigma_x, sigma_y, theta))  # fmt: skip
    sx, sy, angle = torch.broadcast_tensors(sx, sy, angle)
    if not bool((sx > 0).all()) or not bool((sy > 0).all()):
        raise ValueError("sigma_x and sigma_y must be positive")
    sx, sy, angle = (v[..., None, None] for v in (sx, sy, angle))
    axis = torch.arange(size, device=sx.device, dtype=sx.dtype) - size // 2
    y, x = axis[:, None], axis[None, :]
    along = (x * angle.cos() + y * angle.sin()) / sx
    across = (y * angle.cos() - x * angle.sin()) / sy
    kernel = torch.exp(-0.5 * (along.square() + across.square()))
    return kernel / kernel.sum((-2, -1), keepdim=True)


def filter2d(x: Tensor, kernel: Tensor) -> Tensor:
    """Correlate each image of (B, C, H, W) with its kernel (B, k, k); borders mirrored without the edge pixel, as
    OpenCV's filter2D does by default (BORDER_REFLECT_101), for kernels of any size. Large ones go through the Fourier
    transform."""
    batch, channels, height, width = x.shape
    half = kernel.shape[-1] // 2
    if half < min(height, width):
        x = F.pad(x, (half, half, half, half), mode="reflect")
    else:
        x = x[:, :, mirrored(height, half, x.device)][:, :, :, mirrored(width, half, x.device)]
    if kernel.shape[-1] >= LARGE:
        return _through_fourier(x, kernel.to(x.dtype))
    weights = kernel.to(x.dtype).repeat_interleave(channels, 0)[:, None]
    x = x.reshape(1, batch * channels, *x.shape[2:])
    return F.conv2d(x, weights, groups=batch * channels).view(batch, channels, height, width)


class GaussianBlur(DegradationModule):
    """Blur with gaussian_kernel(size, sigma_x, sigma_y, theta): numbers for all images, or tensors (B,).

    Images (B, 3, H, W) in [0, 1]; borders are mirrored without the edge pixel, as OpenCV's filter2D does. Raises
    ValueError for another shape or dtype.

    Examples:
        >>> GaussianBlur(7, 1.5)(torch.rand(1, 3, 16, 16)).shape
        torch.Size([1, 3, 16, 16])
    """

    kernel: Tensor

    def __init__(
        self,
        size: int,
        sigma_x: float | Tensor,
        sigma_y: float | Tensor | None = None,
        theta: float | Tensor = 0.0,
    ) -> None:
        super().__init__()
        self.size = size
        kernel = gaussian_kernel(size, sigma_x, sigma_x if sigma_y is None else sigma_y, theta)
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = check_images(x)
        kernel = self.kernel.to(x)
        return filter2d(x, kernel if kernel.ndim == 3 else kernel.expand(len(x), -1, -1))


def _through_fourier(x: Tensor, kernel: Tensor) -> Tensor:
    """Correlation of (B, C, H, W) with (B, k, k) where the kernel lies inside: (B, C, H - k + 1, W - k + 1)."""
    size = [quick_length(side) for side in x.shape[-2:]]
    spectrum = torch.fft.rfft2(x, s=size)
    spectrum *= torch.fft.rfft2(kernel, s=size).conj()[:, None]
    height, width = (side - kernel.shape[-1] + 1 for side in x.shape[-2:])
    return torch.fft.irfft2(spectrum, s=size)[..., :height, :width]


def quick_length(size: int) -> int:
    """The next even number of which 2, 3, 5 and 7 are the only prime factors: Fourier transforms like those."""
    while True:
        rest = size
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1 and size % 2 == 0:
            return size
        size += 1


def mirrored(size: int, pad: int, device: torch.device) -> Tensor:
    """Index of every padded position in 0..size-1, mirrored as often as it takes."""
    if size == 1:
        return torch.zeros(1 + 2 * pad, dtype=torch.long, device=device)
    period = 2 * (size - 1)
    place = torch.arange(-pad, size + pad, device=device) % period
    return torch.where(place < size, place, period - place)
