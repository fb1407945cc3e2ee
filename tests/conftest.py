"""Settings that every test shares: reproducible hypothesis runs, one generator, data that may be absent."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image

settings.register_profile("default", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# Without a GPU the fused kernels are tested in Triton's interpreter, which is chosen when Triton is first imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Many threads on a busy machine wait for one another: a test of two seconds takes minutes. Child processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

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


FOLDERS = {"faces256/train": 5, "faces256/val": 3, "faces256/test": 3, "photos": 2}


@pytest.fixture(scope="session")
def image_folders(tmp_path_factory):
    """A folder of tiny random images, laid out as the recipes want it at the smaller scales."""
    folder = tmp_path_factory.mktemp("images")
    generator = torch.Generator().manual_seed(0)
    for name, count in FOLDERS.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = torch.randint(0, 256, (6, 5, 3), dtype=torch.uint8, generator=generator).numpy()
            Image.fromarray(pixels).resize((40, 48), Image.Resampling.BICUBIC).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def one_thread():
    """Networks this small lose by threads, and much where the processor has other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
