"""Grids of pictures: a column for every method, a row for every image, parts of them enlarged (figures 4, 5, 10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pmrf_blocks.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BACKGROUND, INK = (255, 255, 255), (20, 20, 20)
# Of the frames around what is enlarged and its enlargement: Okabe and Ito's, which hold against skin and hair.
FRAMES = ("#D55E00", "#56B4E9", "#E69F00", "#009E73")
INSET = 0.4  # an enlargement's side over the shorter side of the picture that it lies in
POINTS, LINE = 8.0, 0.8  # of a figure: size of its labels, width of its frames


@dataclass(frozen=True)
class Zoom:
    """A square part of a picture to enlarge: its left upper corner and its side, in the picture's own pixels.

    Examples:
        >>> row = GridRow((torch.zeros(3, 64, 64),), zooms=(Zoom(left=8, top=40, side=16),))
        >>> draw_grid([""], [row]).size  # the enlargement lies in a corner of the picture
        (64, 64)
    """

    left: int
    top: int
    side: int


@dataclass(frozen=True)
class GridRow:
    """One image of every method, each (3, H, W) in [0, 1] and of one size, and what of them is enlarged.

    Examples:
        >>> row = GridRow((torch.zeros(3, 32, 48), torch.ones(3, 32, 48)))
        >>> len(row.images), row.zooms
        (2, ())
    """

    images: tuple[Tensor, ...]
    zooms: tuple[Zoom, ...] = ()


@dataclass(frozen=True)
class _Part:
    """Pixels (h, w, 3) of 8 bits and the box that they fill, in units of the grid; a frame alone has no pixels."""

    box: tuple[int, int, int, int]  # left, top, width, height
    pixels: np.ndarray | None = None
    frame: str = ""


@dataclass(frozen=True)
class _Layout:
    width: int
    height: int
    panel: int  # width of a column
    gap: int
    parts: list[_Part]


def draw_grid(
    labels: Sequence[str], rows: Sequence[GridRow], *, scale: int = 1, zooms_below: bool = False
) -> Image.Image:
    """The grid as a picture of pixels, the labels above their columns.

    A column is `scale` times as wide as the first row's images. Images of that size are shown pixel by pixel, enlarged
    pixels stay squares. Enlarged parts lie in corners of the image that they are of, away from what they show, or
    `zooms_below` it. ValueError where rows, labels or parts do not fit together.

    Examples:
        >>> row = GridRow((torch.zeros(3, 32, 32), torch.ones(3, 32, 32)))
        >>> small, large = (draw_grid(["", ""], [row], scale=scale) for scale in (1, 4))
        >>> large.width > 4 * 2 * 32 > small.width > 2 * 32  # the pictures, and a gap
        True
    """
    if scale < 1:
        raise ValueError(f"scale must be at least 1; got {scale}")
    _check(labels, rows)
    panel = scale * rows[0].images[0].shape[-1]
    font = _fitting_font(labels, panel)
    room = round(font.getbbox("Ag")[3]) + max(3, panel // 64) if any(labels) else 0
    layout = _lay_out(rows, panel, room, zooms_below)
    picture = Image.new("RGB", (layout.width, layout.height), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    for column, label in enumerate(labels):
        middle = column * (panel + layout.gap) + panel / 2
        draw.text((middle - draw.textlength(label, font=font) / 2, 0), label, fill=INK, font=font)
    line = max(1, panel // 128)
    for part in layout.parts:
        left, top, width, height = part.box
        if part.pixels is not None:
            picture.paste(_resized(part.pixels, width, height), (left, top))
        if part.frame:
            draw.rectangle((left, top, left + width - 1, top + height - 1), outline=part.frame, width=line)
    return picture


def grid_figure(
    labels: Sequence[str], rows: Sequence[GridRow], *, width: float = 6.875, zooms_below: bool = False
) -> Figure:
    """The same grid as a figure of `width` inches, for PDF and SVG: labels are text, and every image is embedded with
    its own pixels and no others. ImportError where matplotlib is missing.

    Examples:
        >>> row = GridRow((torch.zeros(3, 32, 32), torch.ones(3, 32, 32)))
        >>> figure = grid_figure(["degraded", "restored"], [row], width=3.0)
        >>> len(figure.axes[0].images)  # each with its own pixels
        2
    """
    _check(labels, rows)
    panel = rows[0].images[0].shape[-1]
    total = _lay_out(rows, panel, 0, zooms_below).width
    room = round(1.6 * POINTS / 72 * total / width) if any(labels) else 0
    layout = _lay_out(rows, panel, room, zooms_below)
    figure = new_figure(width, width * layout.height / layout.width)
    figure.set_layout_engine("none")
    figure.suppressComposite = True  # else the images become one, of other pixels
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    half = LINE / 2 / 72 * total / width  # of a line, which keeps within its box
    for part in layout.parts:
        left, top, wide, high = part.box
        if part.pixels is not None:
            extent = (left, left + wide, top + high, top)
            axes.imshow(part.pixels, extent=extent, interpolation="none", aspect="auto")
        if part.frame:
            west, east, north, south = left + half, left + wide - half, top + half, top + high - half
            xs, ys = [west, east, east, west, west], [north, north, south, south, north]
            axes.plot(xs, ys, color=part.frame, linewidth=LINE, solid_joinstyle="miter")
    axes.set(xlim=(0, layout.width), ylim=(layout.height, 0))
    texts = [
        axes.text(column * (panel + layout.gap) + panel / 2, 0.4 * room, label, ha="center", va="center",
                  fontsize=POINTS, parse_math=False)
        for column, label in enumerate(labels)
    ]  # fmt: skip
    widest = max((text.get_window_extent().width for text in texts), default=0.0)
    column_width = figure.bbox.width * panel / layout.width
    for text in texts:
        text.set_fontsize(POINTS * min(1.0, column_width / max(widest, 1.0)))
    return figure


def _check(labels: Sequence[str], rows: Sequence[GridRow]) -> None:
    if not labels or not rows:
        raise ValueError("a grid needs at least one column and one row")
    for number, row in enumerate(rows, 1):
        if len(row.images) != len(labels):
            raise ValueError(f"row {number} has {len(row.images)} images for {len(labels)} labels")
        sizes = {f"{image.shape[-1]}x{image.shape[-2]}" for image in row.images}
        if len(sizes) > 1:
            raise ValueError(f"the images of row {number} differ in size: {', '.join(sorted(sizes))}")
        height, width = row.images[0].shape[-2:]
        if len(row.zooms) > len(FRAMES):
            raise ValueError(f"at most {len(FRAMES)} parts of an image can be enlarged; got {len(row.zooms)}")
        for zoom in row.zooms:
            inside = min(zoom.left, zoom.top) >= 0 and zoom.left + zoom.side <= width and zoom.top + zoom.side <= height
            if zoom.side < 1 or not inside:
                raise ValueError(f"the zoom {_said(zoom)} does not lie in an image of {width}x{height}")


def _said(zoom: Zoom) -> str:
    return f"{zoom.left},{zoom.top},{zoom.side}"


def _lay_out(rows: Sequence[GridRow], panel: int, room: int, zooms_below: bool) -> _Layout:
    """Where everything goes, in units of which a column is `panel` wide; `room` is left for labels."""
    gap = max(1, panel // 48)
    parts: list[_Part] = []
    top = room
    for row in rows:
        images = [_pixels(image) for image in row.images]
        factor = panel / images[0].shape[1]
        height = max(1, round(images[0].shape[0] * factor))
        marks = [tuple(round(v * factor) for v in (zoom.left, zoom.top, zoom.side)) for zoom in row.zooms]
        side, places = (_below if zooms_below else _corners)(marks, panel, height, gap)
        for zoom in row.zooms:
            if zoom.side * factor >= side:
                raise ValueError(f"the zoom {_said(zoom)} would not be enlarged; choose a smaller part")
        for column, pixels in enumerate(images):
            left = column * (panel + gap)
            parts.append(_Part((left, top, panel, height), pixels))
            for zoom, (x, y, s), (right, down), colour in zip(row.zooms, marks, places, FRAMES):
                cut = pixels[zoom.top : zoom.top + zoom.side, zoom.left : zoom.left + zoom.side]
                parts.append(_Part((left + x, top + y, s, s), frame=colour))
                parts.append(_Part((left + right, top + down, side, side), cut, colour))
        top += height + gap + (side + gap if zooms_below and row.zooms else 0)
    columns = len(rows[0].images)
    return _Layout(columns * (panel + gap) - gap, top - gap, panel, gap, parts)


def _below(marks: Sequence[tuple[int, ...]], width: int, height: int, gap: int) -> tuple[int, list[tuple[int, int]]]:
    """Side and places (left, top) of enlargements beneath an image, as wide together as it is."""
    count = max(1, len(marks))
    side = (width - (count - 1) * gap) // count
    return side, [(number * (side + gap), height + gap) for number in range(len(marks))]


def _corners(marks: Sequence[tuple[int, ...]], width: int, height: int, gap: int) -> tuple[int, list[tuple[int, int]]]:
    """Side and places of enlargements in corners: each where it hides least of what is marked, then farthest from its
    own mark."""
    side = round(INSET * min(width, height))
    free = [(x, y) for y in (height - side, 0) for x in (width - side, 0)]
    places = []
    for x, y, s in marks:

        def cost(place: tuple[int, int], x: int = x, y: int = y, s: int = s) -> tuple[int, int]:
            hidden = sum(_overlap(place[0], side, a, c) * _overlap(place[1], side, b, c) for a, b, c in marks)
            return hidden, -((2 * place[0] + side - 2 * x - s) ** 2 + (2 * place[1] + side - 2 * y - s) ** 2)

        places.append(min(free, key=cost))
        free.remove(places[-1])
    return side, places


def _overlap(a: int, length: int, b: int, other: int) -> int:
    return max(0, min(a + length, b + other) - max(a, b))


def _pixels(image: Tensor) -> np.ndarray:
    levels = (image.detach().float().cpu().clamp(0, 1) * 255.0).round().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(1, 2, 0).numpy())


def _resized(pixels: np.ndarray, width: int, height: int) -> Image.Image:
    """Enlarged by repeating pixels, which smooths nothing; made smaller by Lanczos's kernel."""
    larger = width >= pixels.shape[1] and height >= pixels.shape[0]
    kernel = Image.Resampling.NEAREST if larger else Image.Resampling.LANCZOS
    return Image.fromarray(pixels).resize((width, height), kernel)


def _fitting_font(labels: Sequence[str], width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest font, up to an eighth of a column, in which every label fits its column; never below 6 pixels."""
    size = max(6, min(40, width // 8))
    while True:
        font = ImageFont.load_default(size=size)
        if size == 6 or all(font.getlength(label) <= width for label in labels):
            return font
        size -= 1
