"""What is kept of a reference set: moments and, for the MMD, features. Saved as npz, read without pickle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pmrf_blocks.messages import first_line
from pmrf_blocks.metrics.frechet import Moments
from pmrf_blocks.npz_files import read_npz
from pmrf_blocks.whole_files import replacing

VERSION = 1


@dataclass(frozen=True)
class Statistics:
    """Features of a set under one extractor.

    Arguments:
        extractor: its identity: name, preprocessing and a digest of the weights.
        protocol: name and hash of the protocol that prepared the images.
        moments: of all features.
        features: (N, D) float32 in the order of the images, or None where they were not kept.

    Examples:
        >>> import tempfile
        >>> moments = Moments()
        >>> moments.update(torch.rand(100, 4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Statistics("mine", "images", moments).save(f"{folder}/mine.npz")
        ...     Statistics.load(path).moments.count
        100
    """

    extractor: str
    protocol: str
    moments: Moments
    features: Tensor | None = None
    name: str = ""
    digest: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", digest_of(self.arrays()))

    def __str__(self) -> str:
        return ", ".join([*([self.name] if self.name else []), f"{self.moments.count} images", self.digest])

    def arrays(self) -> dict[str, Any]:
        """What the digest is of."""
        return {
            "extractor": np.array(self.extractor),
            "protocol": np.array(self.protocol),
            "count": np.array(self.moments.count),
            "mean": self.moments.mean.cpu().numpy(),
            "covariance": self.moments.covariance.cpu().numpy(),
        }

    def save(self, path: str | Path) -> Path:
        """Write an npz file, under a temporary name first; the path written."""
        path = Path(path)
        arrays = self.arrays()
        arrays |= {"version": np.array(VERSION), "name": np.array(self.name), "digest": np.array(digest_of(arrays))}
        if self.features is not None:
            arrays["features"] = self.features.float().cpu().numpy()
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Statistics:
        """ValueError where the file is not one that save() wrote, or is damaged."""
        try:
            arrays = read_npz(path)
            if int(arrays["version"]) != VERSION:
                raise ValueError(f"its version is {int(arrays['version'])}, this program reads {VERSION}")
            moments = Moments.from_covariance(
                int(arrays["count"]), torch.from_numpy(arrays["mean"]), torch.from_numpy(arrays["covariance"])
            )
            features = torch.from_numpy(arrays["features"]) if "features" in arrays else None
            if features is not None and features.shape != (moments.count, len(moments.mean)):
                raise ValueError(f"features are {tuple(features.shape)}, moments of {moments.count} features")
            digest, name = digest_of(arrays), str(arrays.get("name", ""))  # files of old have neither
            if "digest" in arrays and digest != str(arrays["digest"]):
                raise ValueError(f"its content has the hash {digest}, not {arrays['digest']}")
            return cls(str(arrays["extractor"]), str(arrays["protocol"]), moments, features, name, digest)
        except (ValueError, KeyError, TypeError, OverflowError, RuntimeError) as error:
            reason = first_line(error)
            raise ValueError(f"{path} does not hold reference statistics: {reason}") from None


def digest_of(arrays: Mapping[str, Any]) -> str:
    """Of extractor, protocol, count and moments in float32, so that what is loaded and saved again keeps it."""
    found = hashlib.sha256()
    for name in ("extractor", "protocol", "count", "mean", "covariance"):
        array = arrays[name]
        found.update(array.astype("<f4").tobytes() if name in ("mean", "covariance") else str(array).encode())
    return found.hexdigest()[:16]
