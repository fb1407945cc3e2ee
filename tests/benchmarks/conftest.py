"""What every test of the harness shares."""

import gc

import pytest


@pytest.fixture(autouse=True)
def collected_quickly():
    """Every observation collects garbage first: it need not look through all that the suite has imported."""
    gc.freeze()
    yield
    gc.unfreeze()
