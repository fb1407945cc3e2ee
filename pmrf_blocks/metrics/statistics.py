"""What is kept of a reference set: moments and, for the MMD, features. Saved as npz, read without pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from pmrf_blocks.metrics.frechet import Moments

VERSION = 1


@dataclass(frozen=True)
class Statistics:
    """Features of a set under one extractor.

    Arguments:
        extractor: its identity: name, preprocessing and a digest of the weights.
        protocol: name and hash of the protocol that prepared the images.
        moments: of all features.
        features: (N, D) float32 in the order of the images, or None where they were not kept.
    """

    extractor: str
    protocol: str
    moments: Moments
    features: Tensor | None = None

    def save(self, path: str | Path) -> Path:
        """Write an npz file, under a temporary name first; the path written."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {
            "version": np.array(VERSION),
            "extractor": np.array(self.extractor),
            "protocol": np.array(self.protocol),
            "count": np.array(self.moments.count),
            "mean": self.moments.mean.cpu().numpy(),
            "covariance": self.moments.covariance.cpu().numpy(),
        }
        if self.features is not None:
            arrays["features"] = self.features.float().cpu().numpy()
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        partial.replace(path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Statistics:
        """ValueError where the file is not one that save() wrote, or is damaged."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            if int(arrays["version"]) != VERSION:
                raise ValueError(f"its version is {int(arrays['version'])}, this program reads {VERSION}")
            moments = Moments.from_covariance(
                int(arrays["count"]), torch.from_numpy(arrays["mean"]), torch.from_numpy(arrays["covariance"])
            )
            features = torch.from_numpy(arrays["features"]) if "features" in arrays else None
            if features is not None and features.shape != (moments.count, len(moments.mean)):
                raise ValueError(f"features are {tuple(features.shape)}, moments of {moments.count} features")
            return cls(str(arrays["extractor"]), str(arrays["protocol"]), moments, features)
        except FileNotFoundError:
            raise ValueError(f"no such file: {path}") from None
        except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
            raise ValueError(f"{path} does not hold reference statistics: {error}") from None
