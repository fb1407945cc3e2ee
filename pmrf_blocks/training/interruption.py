"""Ctrl-C between two steps, never within one: what is saved then is the state of a whole step."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from types import FrameType
from typing import Any

# Seconds in which a repeated signal is the first one's echo: launchers pass on what each process of their group has
# had already, and so does timeout(1), at once.
ECHO_OF_LAUNCHER, ECHO = 2.0, 0.3


class Interruption:
    """Within `with Interruption() as asked:` Ctrl-C and SIGTERM set asked.requested; a later one raises at once.

    Signals reach the main thread alone; in any other this does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._first = 0.0
        self._echo = ECHO_OF_LAUNCHER if "WORLD_SIZE" in os.environ else ECHO
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if not self.requested:
            self.requested, self._first = True, time.monotonic()
        elif time.monotonic() - self._first > self._echo:
            raise KeyboardInterrupt


def leave_signals_to_parent(worker: int) -> None:
    """For processes that read data: Ctrl-C and SIGTERM, which clusters send to the whole group, are the training
    process's affair, as it needs them to finish its step. Only a SIGTERM that it sends itself ends them.

    Where the system does not tell who sent a signal (macOS, Windows), any SIGTERM ends them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # or it would not wait for the thread
        parent = multiprocessing.parent_process()  # not getppid(): that may be a server which forks for it
        known = None if parent is None else parent.pid
        threading.Thread(target=_end_when_parent_says, args=(known,), daemon=True).start()


def _end_when_parent_says(parent: int | None) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
