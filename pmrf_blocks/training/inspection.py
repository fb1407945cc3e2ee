"""Finds out before the first step what is wrong with a run's images: none, too few, unreadable, of wrong sizes."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset

from pmrf_blocks.data import DataError, IterableImages

SHOWN = 5


def inspect_images(
    training: Dataset | None, validation: Dataset | None, *, images_per_step: int, rank: int = 0, world: int = 1
) -> None:
    """DataError, with counts and paths, where a run on these sets would fail or see nothing.

    A set may have `where`, text that says where its images are, and `problems(indices, batched=...)`, a list of
    (path or another name, reason). Each process looks through its share of the images.
    """
    if validation is not None:
        need_length(validation, "validation")
    if isinstance(training, IterableImages):  # its first image is looked at when it is begun
        training = None
    else:
        need_length(training, "training")
    for purpose, dataset in (("train", training), ("validate", validation)):
        if dataset is not None and len(dataset) == 0:  # type: ignore[arg-type]
            raise DataError(f"0 images to {purpose} on{_where(dataset)}")
    count = images_per_step if training is None else len(training)  # type: ignore[arg-type]
    if count < images_per_step:
        raise DataError(
            f"{count} images to train on{_where(training)}: fewer than the {images_per_step} of one update "
            "(batch_size times processes)"
        )
    for dataset, batched in ((training, True), (validation, False)):
        if dataset is not None and hasattr(dataset, "problems"):
            share = range(rank, len(dataset), world)  # type: ignore[arg-type]
            bad: list[tuple[Any, str]] = dataset.problems(share, batched=batched)
            if len(bad) == 1:
                raise DataError(f"1 image{_where(dataset)} cannot be used: {bad[0][0]}: {bad[0][1]}")
            if bad:
                lines = [f"  {path}: {reason}" for path, reason in bad[:SHOWN]]
                more = [f"  and {len(bad) - SHOWN} more"] if len(bad) > SHOWN else []
                raise DataError("\n".join([f"{len(bad)} images{_where(dataset)} cannot be used:", *lines, *more]))


def need_length(dataset: Any, purpose: str) -> None:
    """DataError where a set that is gone through as a whole cannot be, or training is on a bare iterable."""
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        wrap = "wrap it in IterableImages" if purpose == "training" else "MapImages takes any"
        raise DataError(f"{purpose} needs a map-style set, and {type(dataset).__name__} is none; {wrap}")


def _where(dataset: Any) -> str:
    where = getattr(dataset, "where", "")
    return f" in {where}" if where else ""
