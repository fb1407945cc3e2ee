"""The scales of every recipe.

'paper'  the paper's own: 512x512 faces (FFHQ), general crops (LSDIR), the test set CelebA-Test,
         in the folders that `pmrf-blocks prepare` makes: DIR/ffhq512, DIR/lsdir512, DIR/celeba-test
'small'  the same experiment at 64x64 on one processor, in a few minutes a run
'debug'  every line of it in seconds, which the tests run

Small and debug change sizes and steps alone, with what follows from these: the VAE's learning rate grows as its
widths shrink (eight times narrower, eight times the rate, as maximal update parametrisation has it), its warm-up is
the same share of fewer steps, and its perceptual loss is that of a network whose weights a package carries.
"""

from __future__ import annotations

from typing import Any, Literal

from recipes.common.stages import Images

Scale = Literal["paper", "small", "debug"]
SIZE: dict[Scale, int] = {"paper": 512, "small": 64, "debug": 32}


def faces(scale: Scale, *, crop: int | None = None, first: int | None = None) -> Images:
    """Training faces."""
    return Images("ffhq512" if scale == "paper" else "faces256/train", SIZE[scale], crop, first)


def photos(scale: Scale, *, crop: int) -> Images:
    """General photographs, half as large again as the faces where they are not crops already."""
    if scale == "paper":
        return Images("lsdir512", 512, crop)
    return Images("photos", SIZE[scale] * 3 // 2, crop)


def validation(scale: Scale) -> Images:
    """Faces that scores during training are taken on."""
    if scale == "paper":
        return Images("celeba-test/hq", 512, first=64)
    return Images("faces256/val", SIZE[scale], first=2)


def held_out(scale: Scale, split: str) -> Images:
    """Faces that tables are measured on; `split` is 'test' or 'val' (CelebA-Test at the paper's scale)."""
    return Images("celeba-test/hq" if scale == "paper" else f"faces256/{split}", SIZE[scale])


def watched(scale: Scale, steps: int) -> dict[str, Any]:
    """How often a run of so many steps is logged, validated and saved at this scale."""
    if scale == "paper":
        return {"log_every": 100, "validate_every": 10_000, "checkpoint_every": 5_000, "workers": 8}
    return {"log_every": max(1, steps // 10), "validate_every": steps, "checkpoint_every": steps,
            "pictures": 0, "trackers": ()}  # fmt: skip
