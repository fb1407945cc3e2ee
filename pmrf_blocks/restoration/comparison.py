"""A picture that shows images side by side, each with its label."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

GAP = 8
BACKGROUND, INK = (255, 255, 255), (20, 20, 20)


def comparison(rows: Sequence[Sequence[tuple[str, Tensor]]], *, tile: int | None = None) -> Image.Image:
    """Rows of (label, image) as one picture; images (3, H, W) in [0, 1], all tiles as large as the first.

    `tile` is the width of a tile in pixels; None keeps the first image's own. An empty label takes no room. Enlarged
    pixels stay squares, as in figure 6.

    Raises ValueError where there is no image.

    Examples:
        >>> comparison([[("before", torch.rand(3, 32, 32)), ("after", torch.rand(3, 32, 32))]]).mode
        'RGB'
    """
    if not rows or not rows[0]:
        raise ValueError("rows must hold at least one image")
    height, width = rows[0][0][1].shape[-2:]
    if tile is not None:
        height, width = max(1, round(height * tile / width)), tile
    font = ImageFont.load_default(size=max(11, min(28, width // 12)))
    line = round(font.getbbox("Ag")[3]) + 6
    label_heights = [line * max(label.count("\n") + 1 for label, _ in row) if any(label for label, _ in row) else 0
                     for row in rows]  # fmt: skip
    columns = max(len(row) for row in rows)
    total = (columns * (width + GAP) + GAP, sum(height + GAP + above for above in label_heights) + GAP)
    picture = Image.new("RGB", total, BACKGROUND)
    draw = ImageDraw.Draw(picture)
    top = GAP
    for row, above in zip(rows, label_heights):
        for column, (label, image) in enumerate(row):
            left = GAP + column * (width + GAP)
            for number, text in enumerate(label.split("\n")):
                while text and draw.textlength(text, font=font) > width:
                    text = text[:-1]
                draw.text((left, top + number * line), text, fill=INK, font=font)
            picture.paste(_picture(image, height, width), (left, top + above))
        top += height + GAP + above
    return picture


def _picture(image: Tensor, height: int, width: int) -> Image.Image:
    image = image.detach().float().cpu()
    if image.shape[-2:] != (height, width):
        # Enlarged pixels stay visible as squares: a comparison must not smooth what it shows.
        larger = height >= image.shape[-2] and width >= image.shape[-1]
        mode = "nearest-exact" if larger else "bicubic"
        image = F.interpolate(image[None], (height, width), mode=mode, antialias=not larger)[0]
    array = (image.clamp(0, 1) * 255.0).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return Image.fromarray(array)
