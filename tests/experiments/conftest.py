"""What the tests of the engine share."""

import pytest

from pmrf_blocks.experiments import Place


@pytest.fixture(autouse=True)
def _alone(one_thread):
    """One thread in every test here."""


@pytest.fixture(scope="module")
def place(image_folders, tmp_path_factory):
    return Place(image_folders, tmp_path_factory.mktemp("runs"), device="cpu")
