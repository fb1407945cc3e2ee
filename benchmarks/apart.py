"""One benchmark in a process of its own, which is ended when its time is up.

What a benchmark leaves behind (compiled kernels, caches of the convolution library, an allocator's heap in pieces)
would count in the next one's memory.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any
from unittest.mock import patch

import torch
from torch import multiprocessing

from benchmarks.comparison import Missing

Rows = Callable[..., Iterator[dict[str, Any]]]


def rows_apart(rows: Rows, arguments: tuple[Any, ...], end: float) -> Iterator[dict[str, Any]]:
    """rows(*arguments) from a process of their own, with as many threads as this one, killed at `end` (of
    time.time()). Raises Missing for what `rows` left out, and where the process did not last.

    It gets its threads by its environment. After torch.set_num_threads() MKL opens a team of threads for each small
    product inside torch's own parallel loops: fused attention on a CPU, ours and the peers', would take 1.4 times as
    long as it does for those who do not call it.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=send_rows, args=(rows, arguments, there))
    with patch.dict(os.environ, OMP_NUM_THREADS=str(torch.get_num_threads())):
        process.start()
    there.close()
    try:
        while here.poll(None if math.isinf(end) else max(0.0, end - time.time())):
            sent = here.recv()
            if not isinstance(sent, dict):
                break
            yield sent
        else:
            process.kill()
            raise Missing("its time was over in the midst of a row, and its process was ended")
    except EOFError:
        sent = ""
    finally:
        process.join()
    if sent is not None:
        raise Missing(sent or f"its process ended with status {process.exitcode}")


def send_rows(rows: Rows, arguments: tuple[Any, ...], to: Connection) -> None:
    """Send every row, and None after the last, or the reason why there are no more."""
    try:
        for row in rows(*arguments):
            to.send(row)
        to.send(None)
    except Missing as reason:
        to.send(str(reason))
    except KeyboardInterrupt:
        sys.exit(130)
