"""Memory that is freed is kept, in a process that asks for it."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from pmrf_blocks.training.allocator import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    print("no")
    sys.exit()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(16 * 2**20)  # beyond what malloc maps at most from its heap by itself
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


def faults(way: str) -> str:
    done = subprocess.run([sys.executable, "-c", FAULTS, way], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="counts the page faults of Linux")
def test_freed_memory_is_kept():
    kept = faults("keep")
    if kept == "no":
        pytest.skip("this C library has no mallopt")
    assert int(kept) < 100
    assert int(faults("plain")) > 4000  # else there would be nothing to keep
