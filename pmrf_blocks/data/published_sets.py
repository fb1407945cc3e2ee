"""The image sets that the paper trains and measures on, with the counts that their authors state."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedSet:
    """`images`: how many files the set has; None where any number is right. `side`: of its square images, in pixels,
    after preparation; None keeps them."""

    name: str
    what: str
    images: int | None = None
    side: int | None = None


PUBLISHED_SETS = {
    one.name: one
    for one in (
        PublishedSet("ffhq", "FFHQ, 1024x1024 aligned faces, brought to 512x512 (Karras et al., 2019)", 70_000, 512),
        PublishedSet("lsdir", "LSDIR's training images, cut into patches (Li et al., 2023)", 84_991, 512),
        PublishedSet("celeba-test", "CelebA-Test, pairs of sharp and degraded faces (Wang et al., 2021a)", 3_000, 512),
        PublishedSet("lfw", "LFW-Test, real degraded faces (Huang et al., 2008; Wang et al., 2021a)", 1_711),
        PublishedSet("webphoto", "WebPhoto-Test, old photographs (Wang et al., 2021a)", 407),
        PublishedSet("wider", "WIDER-Test, severely degraded faces (Zhou et al., 2022)", 970),
        PublishedSet("faces", "the faces of any photographs, cut out in FFHQ's frame", side=512),
        PublishedSet("folder", "any folder of images"),
    )
}
