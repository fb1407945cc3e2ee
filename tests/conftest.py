"""Settings that every test shares: reproducible hypothesis runs, one generator, data that may be absent."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# Without a GPU the fused kernels are tested in Triton's interpreter, which is chosen when Triton is first imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """Folder of development photographs; users of the package do not have it."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"development data not found at {SHARED / 'data'}")
    return SHARED
