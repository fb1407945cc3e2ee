"""Work on a machine that is lent for minutes: images packed to be carried there, commands side by side until the time
is over, and run folders packed to be carried back."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors.torch import load_file, save_file

from pmrf_blocks.data import find_images
from pmrf_blocks.images import open_eight_bits
from pmrf_blocks.training.checkpoint import latest_checkpoint

PART = 15 * 2**20  # bytes of a file that is carried back
STOP = 30.0  # seconds to end in: a checkpoint, and packing
LOGS, DONE = "logs", "done.txt"  # beside the run folders: what jobs printed, and the items that are done


@dataclass(frozen=True)
class Packing:
    """Images of one folder, the shorter side at most `size`: JPEG of this quality with full colour; None: lossless."""

    folder: str
    size: int
    quality: int | None
    first: int | None = None
    optional: bool = False


@dataclass
class Job:
    """A command that starts when the jobs it needs have ended well."""

    line: list[str]
    needs: tuple[str, ...] = ()
    process: subprocess.Popen | None = None
    began: float = 0.0
    took: float = 0.0

    @property
    def state(self) -> str:
        if self.process is None:
            return "not begun"
        if self.process.poll() is None:
            return "running"
        return "done" if self.process.returncode == 0 else f"failed ({self.process.returncode})"


def pack(parts: Sequence[Packing], data: Path, packed: Path) -> int:
    """Write the images below `data` into `packed`, small enough to carry; their bytes. DataError where a folder is
    missing that is not `optional`."""
    total = 0
    for part in parts:
        source, target = data / part.folder, packed / part.folder
        if part.optional and not source.is_dir():
            continue
        target.mkdir(parents=True, exist_ok=True)
        for path in find_images(source)[: part.first]:
            image = Image.fromarray(open_eight_bits(path)[0])
            scale = min(1.0, part.size / min(image.size))
            if scale < 1.0:
                size = round(image.width * scale), round(image.height * scale)
                image = image.resize(size, Image.Resampling.LANCZOS)
            file = target / f"{path.stem}.{'png' if part.quality is None else 'jpg'}"
            options: dict[str, Any] = {} if part.quality is None else {"quality": part.quality, "subsampling": 0}
            image.save(file, **options)
            total += file.stat().st_size
        print(f"{part.folder}: {len(list(target.iterdir()))} images", file=sys.stderr)
    return total


def ready(job: Job, jobs: Mapping[str, Job]) -> bool:
    """Whether a job can begin."""
    return job.process is None and all(jobs[need].state == "done" for need in job.needs)


def watch(jobs: Mapping[str, Job], logs: Path, end: float) -> None:
    """Start each job when what it needs has ended well, its output in logs/NAME.txt; at `end`, by time.monotonic(), ask
    those that run to save and stop."""
    logs.mkdir(parents=True, exist_ok=True)
    while time.monotonic() < end:
        for name, job in jobs.items():
            if ready(job, jobs):
                job.began = time.monotonic()
                with (logs / f"{name}.txt").open("ab") as log:
                    job.process = subprocess.Popen(job.line, stdout=log, stderr=subprocess.STDOUT)
            elif job.process is not None and not job.took and job.state != "running":
                job.took = time.monotonic() - job.began
        if not any(job.state == "running" or ready(job, jobs) for job in jobs.values()):
            return
        time.sleep(0.2)
    for job in jobs.values():
        if job.process is not None and job.state == "running":
            job.process.terminate()
    for job in jobs.values():
        if job.process is not None:
            try:
                job.process.wait(0.6 * STOP)
            except subprocess.TimeoutExpired:
                job.process.kill()
            job.took = job.took or time.monotonic() - job.began


def do_next(
    items: Mapping[str, Mapping[str, Job]],
    wanted: Sequence[str],
    before: Sequence[Path],
    minutes: float,
    *,
    runs: Path,
    output: Path,
) -> bool:
    """Do the jobs of the `wanted` items, or of the first that is not done, within the minutes, on what the outputs
    `before` hold; keep() what came about and print how each job ended. Whether all that was begun ended well;
    ValueError for an item that there is not."""
    end = time.monotonic() + 60.0 * minutes - STOP
    for folder in before:
        restore(folder, runs)
    record = runs / DONE
    done = record.read_text(encoding="utf-8").split() if record.exists() else []
    chosen = tuple(wanted) or tuple(name for name in items if name not in done)[:1]
    for name in chosen:
        if name not in items:
            raise ValueError(f"--items must be among {', '.join(map(repr, items))}; got {name!r}")
    jobs = {name: job for item in chosen for name, job in items[item].items()}
    watch(jobs, runs / LOGS, end)
    done += [name for name in chosen if all(job.state == "done" for job in items[name].values())]
    if done:
        record.write_text("\n".join(dict.fromkeys(done)) + "\n", encoding="utf-8")
    keep(runs, output)
    print("| job | state | seconds | last line |", "|---|---|---|---|", sep="\n")
    for name, job in jobs.items():
        print(f"| {name} | {job.state} | {job.took:.0f} | {last_line(runs / LOGS / f'{name}.txt')} |")
    return all(job.state == "done" for job in jobs.values())


def last_line(log: Path) -> str:
    """The last line of a log that has a score of validation, else the last; progress bars' lines end in a return."""
    if not log.exists():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").strip().splitlines()
    scores = [line for line in lines if "val_" in line] or lines
    return scores[-1][-160:] if scores else ""


def keep(runs: Path, output: Path) -> None:
    """Run folders as parts of a tar file: of a finished stage the network in half precision, else the checkpoint."""
    output.mkdir(parents=True, exist_ok=True)
    for weights in runs.glob("*/model/*.safetensors"):
        halves = {name: x.half().contiguous() if x.is_floating_point() else x for name, x in load_file(weights).items()}
        save_file(halves, weights)
    whole = runs.with_name(runs.name + ".tar")
    with tarfile.open(whole, "w") as tar:
        for path in sorted(runs.rglob("*")):
            inner = path.relative_to(runs)
            finished = (runs / inner.parts[0] / "model").is_dir()
            left = path.suffix == ".npy" or "export" in inner.parts or (finished and "checkpoints" in inner.parts)
            newest = path.parent.name != "checkpoints" or path == latest_checkpoint(path.parent)
            if path.is_file() and newest and not left:
                tar.add(path, str(inner))
    with whole.open("rb") as file:
        for number, block in enumerate(iter(lambda: file.read(PART), b"")):
            (output / f"runs.tar.{number:02d}").write_bytes(block)
    whole.unlink()


def restore(output: Path, runs: Path) -> None:
    """The run folders out of the parts that keep() wrote; ValueError where there are none."""
    parts = sorted(output.glob("runs.tar.*"))
    if not parts:
        raise ValueError(f"no runs.tar.00 in {output}")
    whole = runs.with_name(runs.name + ".tar")
    runs.mkdir(parents=True, exist_ok=True)
    with whole.open("wb") as file:
        for part in parts:
            file.write(part.read_bytes())
    with tarfile.open(whole) as tar:
        safe: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # since 3.11.4; the archive is ours
        tar.extractall(runs, **safe)
    whole.unlink()
