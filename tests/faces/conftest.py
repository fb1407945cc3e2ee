"""YuNet's weights where kornia looks for them, and photographs to search."""

import shutil
from pathlib import Path

import pytest
from torch import Tensor

from pmrf_blocks.faces import build_detector
from pmrf_blocks.images import open_image


@pytest.fixture(scope="session")
def torch_home(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TORCH_HOME whose hub cache holds YuNet."""
    weights = shared_folder / "weights" / "yunet_final.pth"
    if not weights.is_file():
        pytest.skip(f"YuNet's weights not found at {weights}")
    home = tmp_path_factory.mktemp("torch")
    (home / "hub" / "checkpoints").mkdir(parents=True)
    shutil.copy(weights, home / "hub" / "checkpoints")
    return home


@pytest.fixture(scope="session")
def yunet(torch_home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(torch_home))
        return build_detector("yunet")


@pytest.fixture(scope="session")
def people(shared_folder) -> list[Tensor]:
    """Photographs of one synthetic person each, (3, H, W), some 448 pixels."""
    names = ("0033", "0066", "0264", "0561", "0891", "1023")
    return [open_image(shared_folder / "data" / "photos" / f"{name}.jpg").pixels for name in names]
