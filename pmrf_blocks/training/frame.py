"""What a command that trains does before and after: memory and threads, one result, errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pmrf_blocks.training.allocator import keep_freed_memory
from pmrf_blocks.training.processes import processes, world_size


def set_up_process(threads: int | None) -> None:
    """Before anything is trained: the number of threads, and freed memory kept."""
    keep_freed_memory()
    if threads is not None:
        torch.set_num_threads(threads)


def conclude(result: object, device: str | None) -> None:
    """Print the result, once however many processes there are, and leave their group."""
    if world_size() == 1:
        print(result)
        return
    everyone = processes(device)
    if everyone.is_main_process:
        print(result)
    everyone.destroy_process_group()


@contextmanager
def one_line_errors(name: str) -> Iterator[None]:
    """What a user can mend ends the program with one line; Ctrl-C with status 130."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        sys.exit(f"{name}: {error}")
