"""The golden values of docs/metrics.md: what every metric gives on inputs made by a formula."""

import re
from pathlib import Path

import pytest
import torch

from pmrf_blocks.metrics import (
    MS_SSIM_WEIGHTS,
    Moments,
    efficientnet_lite0_features,
    frechet_distance,
    identity_degrees,
    ind_rmse,
    landmark_distance,
    mmd_rbf,
    ms_ssim,
    psnr,
    psnr_y,
    ssim,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def images():
    """Two images (1, 3, 176, 192) of whole 8-bit levels, float64 in [0, 1]."""
    c, i, j = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (3, 176, 192)), indexing="ij")
    x = 0.5 + 0.4 * torch.sin(0.11 * i + 0.3 * c) * torch.cos(0.07 * j)
    y = x + 0.05 * torch.sin(1.3 * i + 0.7 * j + c)
    return ((image * 255).round()[None] / 255 for image in (x, y))


def features():
    """Two sets (50, 6) and (40, 6), float64."""
    d = torch.arange(6, dtype=torch.float64)
    n = torch.arange(50, dtype=torch.float64)[:, None]
    return torch.sin(0.37 * n * (d + 1) + d), 0.9 * torch.sin(0.53 * n[:40] * (d + 1) + d) + 0.1


def values():
    x, y = images()
    a, b = features()
    points = 100 * a[:, :4].reshape(50, 2, 2), 100 * b[:, :4].reshape(40, 2, 2)
    lite0 = efficientnet_lite0_features()(torch.cat((x, y)).float()).double()
    return {
        "psnr": psnr(x, y),
        "psnr_y": psnr_y(x, y),
        "ssim": ssim(x, y),
        "ms_ssim": ms_ssim(x, y),
        "ms_ssim, four scales": ms_ssim(x, y, weights=MS_SSIM_WEIGHTS[:4]),
        "ind_rmse": ind_rmse(x, y),
        "identity_degrees, mean": identity_degrees(a[:40], b).mean(),
        "landmark_distance, mean": landmark_distance(points[0][:40], points[1]).mean(),
        "frechet_distance": frechet_distance(Moments.of(a), Moments.of(b)),
        "mmd_rbf, sigma 10, scale 1000, biased": mmd_rbf(a, b),
        "mmd_rbf, sigma 10, scale 1000, unbiased": mmd_rbf(a, b, biased=False),
        "mmd_rbf, sigma 1, scale 1, biased": mmd_rbf(a, b, sigma=1.0, scale=1.0),
        "EfficientNet-Lite0, distance of the two images' features": (lite0[0] - lite0[1]).norm(),
    }


def test_the_pages_golden_values():
    table = PAGE.read_text(encoding="utf-8").split("## Golden values")[1].split("\n## ")[0]
    stated = {name: float(value) for name, value in re.findall(r"^\| (.+?) \| (-?[\d.]+) \|$", table, re.MULTILINE)}
    found = {name: float(value) for name, value in values().items()}
    assert stated.keys() == found.keys()
    for name, value in found.items():
        tolerance = 1e-2 if name.startswith("EfficientNet") else 2e-6 * max(1.0, abs(value))
        assert stated[name] == pytest.approx(value, abs=tolerance), name
