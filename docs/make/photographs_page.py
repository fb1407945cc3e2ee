"""docs/results/photographs.md: whole photographs, degraded and restored, measured inside their faces.

    python -m docs.make.photographs_page --data DIR

DIR holds photographs of held-out people (docs/make/apart.py --photographs); those with one clear face are taken. They
are brought to sizes at which the face has 40 to 200 pixels, degraded as wholes at three strengths, and restored by
`restore --aligned` and by `restore`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch.nn.functional as F
import tyro
from PIL import Image
from torch import Tensor

from pmrf_blocks.data import find_images
from pmrf_blocks.degradations import BlindFaceDegradation
from pmrf_blocks.faces import Face, build_detector, crop_face, find_faces
from pmrf_blocks.images import LoadedImage, open_image, save_picture
from pmrf_blocks.metrics import identity_degrees, psnr
from pmrf_blocks.restoration import comparison, load_restorer, restore_crop, restore_photograph
from pmrf_blocks.restoration.photographs import WEIGHT
from pmrf_blocks.seeding import derive_generator
from pmrf_blocks.training.environment import clean_commit, describe_environment
from pmrf_blocks.training.frame import one_line_errors

SIZES = (40, 80, 120, 160, 200)  # of the face: the longer side of its box, in pixels
FRAME = 0.75  # a box's longer side as a share of the aligned crop's
# Of the blind-face degradation on a 512-pixel crop: sigma of the blur, factor of the shrinking, noise, JPEG quality.
STRENGTHS = {"light": (2.0, 4.0, 5.0, 80), "medium": (5.0, 8.0, 10.0, 60), "strong": (10.0, 16.0, 15.0, 40)}
WHOLE = (160, "medium")  # the photograph that is shown as a whole
SHOWN = ("degraded", "--aligned", "restored", "weight 1")


@dataclass(frozen=True)
class Arguments:
    data: Path
    """Folder of photographs."""
    output: Path = Path("docs/results/photographs.md")
    """The page; .json and .jpg go beside it."""
    photographs: int = 8
    """Take so many."""
    skip: int = 9
    """After leaving out so many, on which --min-change was chosen."""
    looked_at: Path | None = None
    """Folder for every face, enlarged, to look at."""
    allow_dirty: bool = False
    """Write the page though the checkout has changes, and say so in it."""


@dataclass(frozen=True)
class Row:
    """One photograph at one size and strength; PSNR inside the face's box, identity in degrees."""

    name: str
    size: int
    strength: str
    found: bool
    restored: bool
    seconds: float
    psnr: dict[str, float]
    identity: dict[str, float]


def degraded(image: Tensor, size: int, strength: str, seed: str) -> Tensor:
    """A photograph (3, H, W) degraded as a whole, in proportion to a face of `size` pixels."""
    sigma, factor, noise, quality = STRENGTHS[strength]
    scale = size / FRAME / 512
    degradation = BlindFaceDegradation.fixed(
        sigma=sigma * scale,
        factor=max(1.0, factor * scale),
        noise=noise,
        quality=quality,
        kernel_size=2 * max(1, math.ceil(20 * scale)) + 1,
        reference_size=None,
    )
    return degradation(image[None], generator=derive_generator("photographs", seed))[0][0]


def in_box(image: Tensor, face: Face) -> Tensor:
    left, top, right, bottom = (max(0, round(value)) for value in face.box)
    return image[None, :, top:bottom, left:right]


Labelled = list[tuple[str, Tensor]]


def measure(arguments: Arguments) -> tuple[list[Row], list[Labelled], list[Labelled]]:
    """What was measured, the faces, and one photograph as a whole with its face below."""
    detector, restorer = build_detector(), load_restorer("bundled", optimize=True)
    embed = embedder()
    rows: list[Row] = []
    shown: list[Labelled] = []
    whole_shown: list[Labelled] = []
    skipped = 0
    for path in find_images(arguments.data):
        whole = open_image(path).pixels
        faces = find_faces(whole, detector)
        if len(faces) != 1 or faces[0].score < 0.999 or not 0.9 * SIZES[-1] < faces[0].side < 0.6 * max(whole.shape):
            continue
        skipped += 1
        if skipped <= arguments.skip:
            continue
        for size in SIZES:
            scale = size / faces[0].side
            height, width = (round(side * scale) for side in whole.shape[-2:])
            clean = F.interpolate(whole[None], (height, width), mode="bicubic", antialias=True)[0].clamp(0, 1)
            face = faces[0].scaled(scale)
            for strength in STRENGTHS:
                given = degraded(clean, size, strength, f"{path.stem} {size} {strength}")
                photograph = LoadedImage(given)
                aligned = restore_crop(restorer, photograph).result.pixels
                aligned = F.interpolate(aligned[None], (height, width), mode="bicubic", antialias=True)[0].clamp(0, 1)
                began = time.perf_counter()
                restored = restore_photograph(restorer, photograph, detector)
                seconds = time.perf_counter() - began
                bold = restore_photograph(restorer, photograph, detector, weight=1.0)
                near = [r for r in restored.faces if math.dist(r.face.centre, face.centre) < size / 2]
                pictures = dict(zip(SHOWN, (given, aligned, restored.result.pixels, bold.result.pixels), strict=True))
                frame = face.to_frame(256)
                crops = {name: crop_face(image, frame, 256) for name, image in {"original": clean, **pictures}.items()}
                rows.append(
                    Row(
                        path.name, size, strength, bool(near), any(r.restored for r in near), seconds,
                        {n: float(psnr(in_box(image, face), in_box(clean, face))) for n, image in pictures.items()},
                        {name: degrees(embed, crops["original"], crops[name]) for name in pictures},
                    )
                )  # fmt: skip
                if (size, strength) == WHOLE and not whole_shown:
                    whole_shown = before_and_after(rows[-1], clean, crops, pictures)
                shown.append([(f"{path.stem}, {size} px, {strength}\n{name}", crop) for name, crop in crops.items()])
                print(rows[-1], flush=True)
        if len(rows) >= arguments.photographs * len(SIZES) * len(STRENGTHS):
            break
    return rows, shown, whole_shown


def before_and_after(row: Row, clean: Tensor, crops: dict[str, Tensor], pictures: dict[str, Tensor]) -> list[Labelled]:
    """Original, degraded and restored photograph, labelled, and below them the face."""
    names = ("original", "degraded", "restored")
    labels = [name if name == "original" else f"{name}: face {row.psnr[name]:.1f} dB" for name in names]
    wholes = [clean, *(pictures[name] for name in names[1:])]
    side = clean.shape[-1]
    faces = [F.interpolate(crops[name][None], (side, side), mode="bicubic")[0].clamp(0, 1) for name in names]
    return [list(zip(labels, wholes, strict=True)), [("", face) for face in faces]]


def beneath(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one width, one below the other."""
    canvas = Image.new("RGB", (pictures[0].width, sum(one.height for one in pictures)), "white")
    top = 0
    for one in pictures:
        canvas.paste(one, (0, top))
        top += one.height
    return canvas


def embedder() -> Callable[[Tensor], Tensor] | None:
    """dlib's face embedding, or None where it is not installed."""
    from pmrf_blocks.metrics.dlib_faces import DlibEmbedder
    from pmrf_blocks.metrics.weights import Unavailable

    try:
        return DlibEmbedder()
    except Unavailable:
        return None


def degrees(embed: Callable[[Tensor], Tensor] | None, one: Tensor, other: Tensor) -> float:
    return math.nan if embed is None else float(identity_degrees(one[None], other[None], embed))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def losses(rows: list[Row], what: str) -> str:
    """The classes of faces whose mean PSNR fell, in words."""
    lost = [
        f"{size} px {strength}"
        for size in SIZES
        for strength in STRENGTHS
        if mean([r.psnr[what] - r.psnr["degraded"] for r in rows if (r.size, r.strength) == (size, strength)]) < 0
    ]
    return ", ".join(lost) or "none"


def page(rows: list[Row], picture: str, commit: str) -> str:
    environment = describe_environment()
    names = sorted({row.name for row in rows})
    seconds = sorted(row.seconds for row in rows)
    text = [
        "# Whole photographs",
        "",
        f"{len(names)} photographs of synthetic people (SFHQ-T2I, MIT licence), of whom neither estimator nor flow "
        "saw a picture, each brought to five sizes and degraded as a whole at three strengths, then restored by the "
        "shipped model, at the default weight "
        f"{WEIGHT:g} and at 1: {len(rows)} pictures. PSNR is "
        "taken inside the face's box; identity is the angle between dlib's embeddings of the aligned faces of original "
        "and result, in degrees (less is better). `--aligned` is the command without face detection: the whole picture "
        "through the model. Faces that the command finds clean it leaves alone: their gain is 0.",
        "",
        f"![Before and after]({picture})",
        "",
        "Original, degraded, `--aligned`, restored, at weight 1; aligned crops, enlarged. One as a whole:",
        "",
        f"![A photograph: original, degraded, restored]({picture.replace('.jpg', '-whole.jpg')})",
        "",
        "| face, px | degradation | found | restored | PSNR degraded | `--aligned` | restored | gain | "
        "gain at weight 1 | identity degraded | `--aligned` | restored | weight 1 |",
        "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for size in SIZES:
        for strength in STRENGTHS:
            some = [row for row in rows if (row.size, row.strength) == (size, strength)]
            scores = [mean([row.psnr[name] for row in some]) for name in SHOWN]
            angles = [mean([row.identity[name] for row in some]) for name in SHOWN]
            shares = [100 * mean([float(getattr(row, what)) for row in some]) for what in ("found", "restored")]
            cells = [f"{size}", strength, *(f"{share:.0f} %" for share in shares), *(f"{s:.2f}" for s in scores[:3])]
            cells += [*(f"{score - scores[0]:+.2f}" for score in scores[2:]), *(f"{angle:.1f}" for angle in angles)]
            text.append(f"| {' | '.join(cells)} |")
    text += [
        "",
        f"Mean PSNR is lost in: {losses(rows, 'restored')}; at weight 1 in: {losses(rows, 'weight 1')}.",
        "",
        f"Faces found: {100 * mean([float(row.found) for row in rows]):.0f} %. Time a picture, with finding: median "
        f"{seconds[len(seconds) // 2]:.1f} s, on {environment['threads']} thread(s) of {environment['processor']} that "
        "other work shared. Strengths, for a 512-pixel crop (blur sigma, shrinking, noise of 255, JPEG quality): "
        + "; ".join(f"{name} {', '.join(f'{v:g}' for v in values)}" for name, values in STRENGTHS.items())
        + f". Made by `python -m docs.make.photographs_page`, commit {commit}; rows in "
        "[photographs.json](photographs.json).",
    ]
    return "\n".join(text) + "\n"


def main() -> None:
    arguments = tyro.cli(Arguments, description=__doc__)
    commit = clean_commit(arguments.allow_dirty)  # before the pages change, which are files of the checkout too
    rows, shown, whole_shown = measure(arguments)
    if arguments.looked_at is not None:
        for i in range(0, len(shown), 3):
            save_picture(comparison(shown[i : i + 3], tile=256), arguments.looked_at / f"{i // 3:03d}.png")
    picture = arguments.output.with_suffix(".jpg")
    if whole_shown:
        pictures = [comparison([row], tile=448) for row in whole_shown]
        save_picture(beneath(pictures), picture.with_name(f"{picture.stem}-whole.jpg"))
    chosen = [row for row in shown if "80 px, medium" in row[0][0] or "160 px, strong" in row[0][0]][:4]
    save_picture(comparison(chosen, tile=192), picture)
    arguments.output.with_suffix(".json").write_text(
        json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8"
    )
    arguments.output.write_text(page(rows, picture.name, commit), encoding="utf-8")


if __name__ == "__main__":
    with one_line_errors("photographs_page"):
        main()
