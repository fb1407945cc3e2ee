"""Named protocols: everything besides the images that a number depends on, frozen, with a hash to print beside it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Protocol:
    """How images are brought to the metrics, and which metrics.

    Arguments:
        name: of the protocol; numbers of one name and hash may be compared.
        metrics: names, as METRICS of registry.py has them.
        size: side that every image must have, or None for any; another size is an error, never resized.
        resize: side to which the shorter side is brought first (bicubic, antialiased, rounded to `bits`), or None.
        crop: pixels cut from every border after that.
        colour: 'rgb'; a grey file counts as RGB of equal channels, but never beside a coloured partner.
        bits: of a channel, as files must have them.
        paired: whether the reference has a partner for every image; else it serves distances of distributions alone.
        ms_ssim_scales: of the five published ones; fewer is another metric, for small images.
        mmd_sigma, mmd_scale, mmd_biased: CMMD's kernel width, factor and estimate.
        landmark_side: landmark distances are given in pixels of a square of this side.

    Examples:
        >>> from dataclasses import replace
        >>> replace(find_protocol("images"), name="mine", crop=4).crop  # another protocol, with another hash
        4
    """

    name: str
    metrics: tuple[str, ...]
    size: int | None = None
    resize: int | None = None
    crop: int = 0
    colour: str = "rgb"
    bits: int = 8
    paired: bool = True
    ms_ssim_scales: int = 5
    mmd_sigma: float = 10.0
    mmd_scale: float = 1000.0
    mmd_biased: bool = True
    landmark_side: int = 512

    def __post_init__(self) -> None:
        for name, value, allowed in (("colour", self.colour, ("rgb",)), ("bits", self.bits, (8,))):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")
        if self.crop < 0 or not 1 <= self.ms_ssim_scales <= 5:
            raise ValueError(
                f"crop must be at least 0 and ms_ssim_scales 1 to 5; got {self.crop}, {self.ms_ssim_scales}"
            )

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits of all fields but the list of metrics: how, not what, is measured."""
        fields = {name: value for name, value in asdict(self).items() if name != "metrics"}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:8]

    def __str__(self) -> str:
        return f"{self.name} ({self.digest})"


TABLE_4 = ("psnr", "ms_ssim", "lpips", "dists", "deg", "lmd", "musiq", "q_align", "fid", "fd_dinov2", "mmd_dinov2")
PIXELS = ("psnr", "psnr_y", "ssim", "ms_ssim", "ind_rmse")
STAND_INS = ("fd_efficientnet_lite0", "mmd_efficientnet_lite0")
FACES = ("deg_dlib", "lmd_dlib")

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("images", (*PIXELS, *STAND_INS)),
        Protocol("celeba-test", TABLE_4, size=512),  # table 4
        Protocol("celeba-test-vae", ("psnr", "lpips", "mmd_dinov2"), size=512),  # tables 2 and 3
        Protocol("real-faces", ("ind_rmse", "niqe", "clip_iqa", "musiq", "q_align", "fid"), size=512, paired=False),
        Protocol("offline-faces", (*PIXELS, *FACES, *STAND_INS)),
        Protocol("offline-faces-128", (*PIXELS, *FACES, *STAND_INS), size=128, ms_ssim_scales=4),
    )
}


def find_protocol(name: str) -> Protocol:
    """The protocol of PROTOCOLS called `name`; ValueError, with all names, for another.

    Examples:
        >>> find_protocol("celeba-test").size
        512
    """
    if name not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(map(repr, PROTOCOLS))}; got {name!r}")
    return PROTOCOLS[name]
