"""index.html beside the results: a slider between before and after, without server or network."""

from __future__ import annotations

import html
import os
import re
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import torch
from PIL import Image
from torch import Tensor

from pmrf_blocks.images import save_picture, shown, within_limit, write_whole

LONGEST = 1600  # pixels of the pictures on the page; results themselves are linked
MARK = '<meta name="generator" content="pmrf-blocks restore">'
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; color: #222 }
figure { margin: 2.5rem 0 } figcaption { margin: .4rem 0; overflow-wrap: anywhere }
.pair { position: relative; display: inline-block; max-width: 100%; line-height: 0; --at: 50% }
.pair img { max-width: 100%; height: auto; max-height: 85vh }
.pair .before { position: absolute; inset: 0; width: 100%; height: 100%;
  clip-path: inset(0 calc(100% - var(--at)) 0 0) }
.pair .line { position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; background: #fff;
  box-shadow: 0 0 3px #000; pointer-events: none }
.pair input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize }
.pair input:focus-visible ~ .line { background: #06f; width: 4px }
"""
SCRIPT = """
for (const slider of document.querySelectorAll('.pair input'))
  slider.addEventListener('input', () => slider.parentElement.style.setProperty('--at', slider.value + '%'));
"""
FIGURE = re.compile(r'<figure><figcaption><a href="([^"]+)">.*?</figure>', re.DOTALL)


class Gallery:
    """The page of a folder: add() each photograph, then write(). What earlier runs showed stays on the page.

    Attributes:
        page: index.html in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.page = folder, folder / "index.html"
        self._figures: dict[str, str] = {}  # by the link to the result

    def add(self, source: Path, target: Path, before: Tensor, after: Tensor, summary: str) -> None:
        """Show a photograph (3, H, W) in [0, 1] before and after; smaller copies go to index_files/.

        Raises ImageError where those cannot be written.
        """
        place = target.relative_to(self.folder)
        names = []
        for name, image in (("before", before), ("after", after)):
            small = Path("index_files") / place.with_name(within_limit(place.name, f"_{name}.jpg"))
            save_picture(_shown_small(image), self.folder / small)
            names.append(_link(small))
        link = _link(place)
        label = html.escape(shown(source.name), quote=True)
        self._figures[link] = (
            f'<figure><figcaption><a href="{link}">{label}</a>: {html.escape(summary)}</figcaption>\n'
            f'<div class="pair"><img src="{names[1]}" alt="{label}, restored" loading="lazy">'
            f'<img class="before" src="{names[0]}" alt="{label}, as it was" loading="lazy">'
            f'<input type="range" min="0" max="100" value="50" aria-label="before and after of {label}">'
            '<span class="line"></span></div></figure>'
        )

    def write(self) -> bool:
        """Write the page, unless nothing was added or the folder has an index.html that is not such a page."""
        there = self.page.read_text(encoding="utf-8", errors="replace") if self.page.exists() else MARK
        if not self._figures or MARK not in there:
            return False
        earlier = {found[1]: found[0] for found in FIGURE.finditer(there)}
        kept = {link: figure for link, figure in earlier.items() if (self.folder / _path(link)).exists()}
        text = (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{MARK}\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Before and after</title>\n'
            f"<style>{STYLE}</style></head><body>\n<h1>Before and after</h1>\n"
            "<p>Before is on the left of the line, after on its right. Drag it, or use the arrow keys.</p>\n"
            + "\n".join((kept | self._figures).values())
            + f"\n<script>{SCRIPT}</script></body></html>\n"
        )
        write_whole(self.page, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        return True


def _link(path: Path) -> str:
    return quote(os.fsencode(path))


def _path(link: str) -> str:
    return os.fsdecode(unquote_to_bytes(link))


def _shown_small(image: Tensor) -> Image.Image:
    array = (image.detach().cpu().clamp(0, 1) * 255.0).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(array)
    picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return picture
