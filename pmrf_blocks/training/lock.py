"""One run at a time in a folder: a lock that the system takes back when its process dies, however it dies."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pmrf_blocks.training.errors import TrainingError

if TYPE_CHECKING:
    from accelerate import PartialState

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: Path, everyone: PartialState) -> Iterator[None]:
    """The folder for all processes that train together, made if need be and held by the main one.

    TrainingError, in every process, where another run has it or it cannot be written.
    """
    from accelerate.utils import broadcast_object_list

    lock, problem = None, [""]
    if everyone.is_main_process:
        try:
            lock = FolderLock(folder)
        except TrainingError as error:
            problem = [str(error)]
        except OSError as error:
            problem = [f"cannot write in {folder}: {error.strerror or error}"]
    try:
        if everyone.num_processes > 1:
            broadcast_object_list(problem)
        if problem[0]:
            raise TrainingError(problem[0])
        yield
    finally:
        if lock is not None:
            lock.close()


class FolderLock:
    """Held from its making to close(); TrainingError, which names the holder, where another process has it.

    A record lock (fcntl.lockf): forked workers that outlive their parent do not hold it, as they would hold a lock of
    flock(). Where the system has no such locks (some network file systems, Windows), nothing is held.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open(folder / LOCK, "a+", encoding="utf-8", errors="replace")  # noqa: SIM115
        try:
            self._take(folder)
        except BaseException:
            self._file.close()
            raise

    def _take(self, folder: Path) -> None:
        try:
            import fcntl
        except ImportError:
            return
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            self._file.seek(0)
            holder = self._file.read(200).strip() or "another process"
            raise TrainingError(f"{folder} is in use by {holder}; wait for it, or take another folder") from None
        except OSError:
            return
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
