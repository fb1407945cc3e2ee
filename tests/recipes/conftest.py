"""A folder of tiny random images, laid out as the recipes want it at the smaller scales."""

import pytest
import torch
from PIL import Image

FOLDERS = {"faces256/train": 5, "faces256/val": 3, "faces256/test": 3, "photos": 2}


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small lose by threads, and much where the processor has other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def image_folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    generator = torch.Generator().manual_seed(0)
    for name, count in FOLDERS.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = torch.randint(0, 256, (6, 5, 3), dtype=torch.uint8, generator=generator).numpy()
            Image.fromarray(pixels).resize((40, 48), Image.Resampling.BICUBIC).save(folder / name / f"{number}.png")
    return folder
