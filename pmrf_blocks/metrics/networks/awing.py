"""The landmark detector of VQFR's and PMRF's 'LMD': four stacked hourglasses trained with the adaptive wing loss
(Wang et al., 2019), 98 points of WFLW, in the keys of alignment_WFLW_4HG.pth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmrf_blocks.metrics.networks.resizing import resize_bytes, to_bytes

SIDE, HEATMAP, DEPTH = 256, 64, 4
BOUNDARY = 0.05  # of the boundary heatmap; above it, coordinates are shown to the next hourglass once more


class Coordinates(nn.Module):
    """A convolution that also sees where it is: row, column and radius, each in [-1, 1], and where the boundary is."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, boundary: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs + (5 if boundary else 3), outputs, kernel, stride, kernel // 2)

    def forward(self, x: Tensor, heatmaps: Tensor | None = None) -> Tensor:
        height, width = x.shape[2:]
        row = torch.linspace(-1, 1, height, device=x.device, dtype=x.dtype).view(1, 1, -1, 1)
        column = torch.linspace(-1, 1, width, device=x.device, dtype=x.dtype).view(1, 1, 1, -1)
        row, column = (axis.expand(len(x), 1, height, width) for axis in (row, column))
        radius = (row.square() + column.square()).sqrt()
        parts = [x, row, column, radius / radius.max()]
        if heatmaps is not None:
            on = heatmaps[:, -1:] > BOUNDARY
            parts += [row * on, column * on]
        return self.conv(torch.cat(parts, 1))


class Residual(nn.Module):
    """Three pre-activated 3x3 convolutions whose outputs are concatenated (Bulat & Tzimiropoulos, 2017)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half, quarter = outputs // 2, outputs // 4
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, half, 3, padding=1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(half), nn.Conv2d(half, quarter, 3, padding=1, bias=False)
        self.bn3, self.conv3 = nn.BatchNorm2d(quarter), nn.Conv2d(quarter, quarter, 3, padding=1, bias=False)
        self.downsample = None
        if inputs != outputs:
            self.downsample = nn.Sequential(
                nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False)
            )

    def forward(self, x: Tensor) -> Tensor:
        one = self.conv1(F.relu(self.bn1(x)))
        two = self.conv2(F.relu(self.bn2(one)))
        three = self.conv3(F.relu(self.bn3(two)))
        return torch.cat((one, two, three), 1) + (x if self.downsample is None else self.downsample(x))


class Hourglass(nn.Module):
    """Down by halves and up again, with a residual block at every level on either way."""

    def __init__(self, width: int, *, first: bool) -> None:
        super().__init__()
        self.coordconv = Coordinates(width, width, 1, boundary=not first)
        for level in range(DEPTH, 0, -1):
            for part in ("b1", "b2", "b3", *(("b2_plus",) if level == 1 else ())):
                self.add_module(f"{part}_{level}", Residual(width, width))

    def forward(self, x: Tensor, heatmaps: Tensor | None) -> Tensor:
        return self._level(DEPTH, self.coordconv(x, heatmaps))

    def _level(self, level: int, x: Tensor) -> Tensor:
        low = self.get_submodule(f"b2_{level}")(F.avg_pool2d(x, 2))
        low = self._level(level - 1, low) if level > 1 else self.get_submodule("b2_plus_1")(low)
        low = self.get_submodule(f"b3_{level}")(low)
        return self.get_submodule(f"b1_{level}")(x) + F.interpolate(low, scale_factor=2.0, mode="nearest")


class AWingHourglass(nn.Module):
    """98 landmarks (B, 98, 2), x then y, in pixels of the images (B, 3, H, W) in [0, 1]: aligned faces.

    Prepared as VQFR's script does it: 8 bits, 256x256 by OpenCV's INTER_LINEAR, [0, 1]. A landmark is the peak of its
    64x64 heatmap, moved a quarter of a cell towards the higher neighbour; at the border the cell itself stands in for
    the neighbour that is missing; with `script_borders`, what VQFR's and PMRF's scripts take there: see peaks().
    """

    def __init__(self, stacks: int = 4, width: int = 256, landmarks: int = 98, *, script_borders: bool = False) -> None:
        super().__init__()
        self.stacks, self.script_borders = stacks, script_borders
        self.conv1 = Coordinates(3, 64, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2, self.conv3, self.conv4 = Residual(64, 128), Residual(128, 128), Residual(128, width)
        for i in range(stacks):
            self.add_module(f"m{i}", Hourglass(width, first=i == 0))
            self.add_module(f"top_m_{i}", Residual(width, width))
            self.add_module(f"conv_last{i}", nn.Conv2d(width, width, 1))
            self.add_module(f"bn_end{i}", nn.BatchNorm2d(width))
            self.add_module(f"l{i}", nn.Conv2d(width, landmarks + 1, 1))
            if i < stacks - 1:
                self.add_module(f"bl{i}", nn.Conv2d(width, width, 1))
                self.add_module(f"al{i}", nn.Conv2d(landmarks + 1, width, 1))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        heatmaps = self.heatmaps(resize_bytes(to_bytes(x), SIDE) / 255.0)[:, :-1]
        height, width = x.shape[2:]
        return peaks(heatmaps, script_borders=self.script_borders) * torch.tensor(
            [width / HEATMAP, height / HEATMAP], device=x.device
        )

    def heatmaps(self, x: Tensor) -> Tensor:
        """Of the last hourglass, (B, landmarks + 1, 64, 64), the boundary last; of faces (B, 3, 256, 256)."""
        x = F.avg_pool2d(self.conv2(F.relu(self.bn1(self.conv1(x)))), 2)
        x = self.conv4(self.conv3(x))
        heatmaps: Tensor | None = None
        for i in range(self.stacks):
            part = {name: self.get_submodule(f"{name}{i}") for name in ("m", "top_m_", "conv_last", "bn_end", "l")}
            inner = part["top_m_"](part["m"](x, heatmaps))
            inner = F.relu(part["bn_end"](part["conv_last"](inner)))
            heatmaps = part["l"](inner)
            if i < self.stacks - 1:
                x = x + self.get_submodule(f"bl{i}")(inner) + self.get_submodule(f"al{i}")(heatmaps)
        assert heatmaps is not None
        return heatmaps


def peaks(heatmaps: Tensor, *, script_borders: bool = False) -> Tensor:
    """Peaks of heatmaps (B, K, h, w) in cells, (B, K, 2) as x, y; the centre of the first cell is at 0.5.

    script_borders: as VQFR's and PMRF's scripts have it, which differ where a peak lies at the border: neighbours left
    and right are those of the flattened map, and one peak in the last row gives all peaks of its image the map's last
    cell for their lower neighbour; in the first row, the first cell for their upper one.
    """
    height, width = heatmaps.shape[2:]
    flat = heatmaps.flatten(2)
    index = flat.argmax(2)
    y, x = index // width, index % width

    def value(row: Tensor, column: Tensor) -> Tensor:
        place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        return flat.gather(2, place[..., None])[..., 0]

    left, right, upper, lower = value(y, x - 1), value(y, x + 1), value(y - 1, x), value(y + 1, x)
    if script_borders:
        cells = height * width
        any_last = (index + width >= cells).any(1, keepdim=True)
        any_first = (index - width <= 0).any(1, keepdim=True)
        left, right = (flat.gather(2, ((index + i) % cells)[..., None])[..., 0] for i in (-1, 1))
        lower = torch.where(any_last, flat[..., -1], lower)
        upper = torch.where(any_first, flat[..., 0], upper)
    shift_x, shift_y = torch.sign(right - left), torch.sign(lower - upper)
    return torch.stack((x + 0.25 * shift_x, y + 0.25 * shift_y), 2) + 0.5
