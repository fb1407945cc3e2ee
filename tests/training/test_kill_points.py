"""Killed before any of its file events, a run that goes on leaves what an unbroken one leaves, and no file more.

The events of a short run are listed first: every file opened for writing, every folder made, rename, removal and flush
below its folder. Then a process is killed before each of them in turn, what it was writing is torn, and the same call
goes on. Each process is a fork of one that has imported everything.
"""

import os
import shutil
import signal
import socket
import sys
import traceback
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from training_toys import Children, Dropping, Points, config, fit, in_pixels, outcome

from pmrf_blocks.training import run, write_pairs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names open files by /proc")
KINDS = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}
WRITING = os.O_WRONLY | os.O_RDWR


class Watch:
    """Counts file events below `folder` in this process from now on, and kills it before number `last`."""

    def __init__(self, folder, last=None):
        self.folder, self.last, self.events = f"{folder}/", last, []
        sys.addaudithook(self.audit)
        os.fsync = lambda handle: self.event("os.fsync", os.readlink(f"/proc/self/fd/{handle}"))

    def audit(self, kind, arguments):
        if kind == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
            self.event(kind, arguments[0])
        elif kind in ("os.remove", "os.rmdir") and arguments[1] >= 0:
            self.event(kind, os.path.join(os.readlink(f"/proc/self/fd/{arguments[1]}"), os.fsdecode(arguments[0])))
        elif kind in KINDS:
            self.event(kind, arguments[0])

    def event(self, kind, path):
        path = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if not path.startswith(self.folder) or path.endswith("/.lock"):
            return
        if len(self.events) == self.last:
            self.last = None
            tear(kind, Path(path))
            os.kill(os.getpid(), signal.SIGKILL)
        self.events.append(f"{kind} {path.removeprefix(self.folder)}")


def tear(kind, path):
    """What a kill in the middle of a write leaves."""
    if kind == "os.fsync" and path.suffix == ".tmp":
        os.truncate(path, path.stat().st_size // 2)
    if kind == "open" and path.name in ("stats.jsonl", "log.txt"):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(handle, b'{"step": 1, "im')


class Drawing(Dropping):
    def pictures(self, batch, generator):
        return [("constant", torch.full((1, 3, 4, 4), 0.5))]


def train_shortly(folder):
    settings = {"steps": 3, "log_every": 2, "validate_every": 2, "checkpoint_every": 1, "pictures": 1}
    fit(config(**settings), Drawing(), Points(), folder / "run", validation=Points(), device="cpu")


class Crops(Points):
    def __getitem__(self, key):
        generator = torch.Generator().manual_seed(key[1])
        return torch.randint(0, 256, (3, 4, 4), dtype=torch.uint8, generator=generator)


def noisy(x, *, generator):
    return x + torch.randn(x.shape, generator=generator), x


def cache_pairs(folder):
    options = {"rounds": 1, "seed": 0, "batch_size": 4, "shard_batches": 1, "device": "cpu"}
    write_pairs(folder / "pairs", in_pixels(None), noisy, Crops(), **options)


def everything(folder):
    """All that is left below a folder: names, and the content where no clock enters it."""
    left = {str(path.relative_to(folder)): b"" for path in folder.rglob("*")}
    for name in left:
        if name.endswith((".safetensors", ".png", "manifest.json")):
            left[name] = (folder / name).read_bytes()
    return left | (outcome(folder / "run") if (folder / "run").exists() else {})


def forked(work, folder, world, watched=None, last=None):
    """Runs work(folder) in `world` processes; their exit codes. The one of rank `watched` is killed before its event
    `last`, the others with it, as a launcher does; without `last` it leaves the list of its events."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(world):
        child = os.fork()
        if not child:
            code = 1
            try:
                if world > 1:
                    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
                    os.environ.update({"MASTER_ADDR": "127.0.0.1"} | {key: str(value) for key, value in place.items()})
                watch = Watch(folder, last) if rank == watched else None
                work(folder)
                if watch is not None:
                    folder.with_suffix(".events").write_text("\n".join(watch.events))
                code = 0
            except BaseException:
                folder.with_suffix(f".error{rank}").write_text(traceback.format_exc())
            os._exit(code)
        children.append(child)
    codes = {}
    while len(codes) < world:
        child, status = os.wait()
        codes[child] = os.waitstatus_to_exitcode(status)
        if codes[child] != 0:
            for other in set(children) - set(codes):
                os.kill(other, signal.SIGKILL)
    return [codes[child] for child in children]


def enumerate_points(folder, started, *, work, each, watched, stride):
    """In a process of its own, which forks: kill at each point, go on, compare. Problems go to a file."""
    started.set()
    os.fsync = lambda handle: None  # a kill, unlike a power cut, loses nothing that was handed to the system
    run.describe_environment = dict
    work(folder / "rehearsal")  # all that is loaded late is loaded
    AcceleratorState._reset_state(reset_partial_state=True)
    problems = []
    whole = folder / "whole"
    assert forked(work, whole, each, watched) == [0] * each
    expected, events = everything(whole), whole.with_suffix(".events").read_text().splitlines()
    for number, event in list(enumerate(events))[::stride]:
        broken = folder / "broken"
        codes = forked(work, broken, each, watched, number)
        again = forked(work, broken, each)
        if codes[watched] != -signal.SIGKILL or again != [0] * each:
            errors = [path.read_text() for path in folder.glob("broken.error*")]
            problems.append(f"{number} {event}: exit codes {codes}, then {again} {errors}")
        else:
            left = everything(broken)
            differs = [name for name in left.keys() | expected.keys() if left.get(name) != expected.get(name)]
            if differs:
                problems.append(f"{number} {event}: {differs}")
        for path in folder.glob("broken*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / "problems.txt").write_text("\n".join(problems))
    (folder / "count.txt").write_text(str(len(events)))


@pytest.mark.parametrize(
    ("work", "world", "watched", "stride", "least"),
    [
        (train_shortly, 1, 0, 1, 40),
        (train_shortly, 2, 0, 7, 40),  # the same events: the main process writes; all were tried once
        (cache_pairs, 2, 0, 3, 10),
        (cache_pairs, 2, 1, 1, 4),
    ],
)
def test_every_point(tmp_path, work, world, watched, stride, least):
    children = Children(enumerate_points, tmp_path, work=work, watched=watched, each=world, stride=stride)
    assert children.wait(400) == [0]
    assert (tmp_path / "problems.txt").read_text() == ""
    assert int((tmp_path / "count.txt").read_text()) >= least
