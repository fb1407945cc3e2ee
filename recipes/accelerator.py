"""What waits for an accelerator, in pieces of minutes: checks, the model that ships, benchmarks, tables.

    python -m recipes.accelerator pack --data DIR --packed packed        # images of DIR, in under 40 MB, to carry there
    python -m recipes.accelerator run --packed packed --minutes 9 --output OUT    # there: the next that is not done
    python -m recipes.accelerator run --packed packed --minutes 9 --output OUT2 --before OUT       # and so on
    python -m recipes.accelerator unpack --output OUT --runs runs        # back here: the run folders

OUT holds what came about as runs.tar.00, runs.tar.01, ... of at most 15 MiB each: records, finished networks in half
precision and, where a stage was broken off, its newest checkpoint. Jobs of an item that do not wait for one another
share the device.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from PIL import Image
from safetensors.torch import load_file, save_file

from pmrf_blocks.data import find_images
from pmrf_blocks.training.frame import one_line_errors

PART = 15 * 2**20
STOP = 30.0  # seconds to end in: a checkpoint, and packing
LOGS, DONE = "logs", "done.txt"


@dataclass(frozen=True)
class Packing:
    """Images of one folder: the shorter side at most `size`, as JPEG of this quality with full colour, or lossless."""

    folder: str
    size: int
    quality: int | None
    first: int | None = None


PACKED = (
    Packing("faces256/train", 134, 95),
    Packing("faces256/val", 128, None),
    Packing("photo-faces", 134, 95),
    Packing("photos", 192, 88, first=900),
)


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


@dataclass(frozen=True)
class Arguments:
    command: tyro.conf.Positional[Literal["pack", "run", "unpack"]]
    """pack images to carry, run there, unpack what came back."""
    data: Path = Path("data")
    """Of pack: folder with faces256/train, faces256/val, photos, and photo-faces if there (pmrf-blocks prepare
    faces)."""
    packed: Path = Path("packed")
    """The packed images."""
    output: Path = Path("accelerator")
    """Where run leaves what it made, and unpack finds it."""
    before: tuple[Path, ...] = ()
    """Outputs of earlier pieces, which are gone on from."""
    runs: Path = Path("runs")
    """Run folders."""
    minutes: float = 9.0
    """Of run: to end within."""
    items: tuple[str, ...] = ()
    """Of run: these items and no others; else the first one that is not done."""
    scale: Annotated[Literal["small", "debug"], tyro.conf.arg()] = "small"
    """'debug' for a twin of seconds."""
    device: str = "cuda"
    """'cpu' for the twin."""
    workers: int = 5
    """Processes that read images, of each job."""


def items(arguments: Arguments) -> dict[str, dict[str, Job]]:
    """The jobs of every item, in the order in which they matter."""
    python, data, runs = sys.executable, str(arguments.packed), str(arguments.runs)
    place = ["--data", data, "--runs", runs, "--device", arguments.device, "--scale", arguments.scale]

    def stage(name: str, *needs: str) -> Job:
        own = ["--stage", name, "--workers", str(arguments.workers), "--trackers"]
        return Job([python, "-m", "recipes.bundled", *place, *own], needs)

    def table(name: str) -> Job:
        return Job([python, "-m", f"recipes.{name}", *place, "--minutes", str(arguments.minutes), "--allow-dirty"])

    quick = ["--tiny"] if arguments.scale == "debug" else ["--minutes", str(0.8 * arguments.minutes)]
    measured = ["--device", arguments.device, "--output", f"{runs}/benchmarks.json"]
    cuda = ["cuda_attention", "cuda_norms", "cuda_resize", "cuda_models"]
    return {
        "checks": {"kernels": Job([python, "-m", "pytest", "-q", "-x", "tests/kernels", "tests/attention"])},
        "model": {
            "autoencoder": stage("autoencoder"),
            "estimator": stage("estimator"),
            "decoder": stage("decoder", "autoencoder"),
            "flow": stage("flow", "autoencoder", "estimator"),
            "pixel": stage("pixel", "estimator"),
        },
        "benchmarks": {"cuda": Job([python, "-m", "benchmarks", "run", *cuda, *quick, *measured])},
        "tables": {name: table(name) for name in ("table2_architecture", "table3_channels", "figure3_convergence")},
    }


def pack(arguments: Arguments) -> None:
    """The images of PACKED that are below `data`, small enough to carry."""
    total = 0
    for part in PACKED:
        if part.folder == "photo-faces" and not (arguments.data / part.folder).is_dir():
            continue
        source, target = arguments.data / part.folder, arguments.packed / part.folder
        target.mkdir(parents=True, exist_ok=True)
        for path in find_images(source)[: part.first]:
            image = Image.open(path).convert("RGB")
            scale = min(1.0, part.size / min(image.size))
            if scale < 1.0:
                size = round(image.width * scale), round(image.height * scale)
                image = image.resize(size, Image.Resampling.LANCZOS)
            file = target / f"{path.stem}.{'png' if part.quality is None else 'jpg'}"
            options: dict[str, Any] = {} if part.quality is None else {"quality": part.quality, "subsampling": 0}
            image.save(file, **options)
            total += file.stat().st_size
        print(f"{part.folder}: {len(list(target.iterdir()))} images", file=sys.stderr)
    print(f"{arguments.packed}: {total / 2**20:.1f} MiB")


def run(arguments: Arguments) -> bool:
    """Do the next item within the minutes; whether everything that was begun ended well."""
    end = time.monotonic() + 60.0 * arguments.minutes - STOP
    for before in arguments.before:
        restore(before, arguments.runs)
    (arguments.runs / LOGS).mkdir(parents=True, exist_ok=True)
    record = arguments.runs / DONE
    done = record.read_text().split() if record.exists() else []
    known = items(arguments)
    chosen = arguments.items or tuple(name for name in known if name not in done)[:1]
    jobs: dict[str, Job] = {}
    for name in chosen:
        if name not in known:
            raise ValueError(f"--items must be among {', '.join(map(repr, known))}; got {name!r}")
        jobs |= known[name]
    watch(jobs, arguments.runs / LOGS, end)
    for name in chosen:
        if all(job.state == "done" for job in known[name].values()):
            record.write_text("\n".join(dict.fromkeys([*done, name])) + "\n")
            done.append(name)
    keep(arguments.runs, arguments.output)
    print("| job | state | seconds | last line |", "|---|---|---|---|", sep="\n")
    for name, job in jobs.items():
        log = arguments.runs / LOGS / f"{name}.txt"
        lines = log.read_text(errors="replace").replace("\r", "\n").strip().splitlines() if log.exists() else []
        scores = [line for line in lines if "val_" in line] or lines
        print(f"| {name} | {job.state} | {job.took:.0f} | {scores[-1][-160:] if scores else ''} |")
    return all(job.state == "done" for job in jobs.values())


def watch(jobs: dict[str, Job], logs: Path, end: float) -> None:
    """Start each job when what it needs has ended well; at the end ask those that run to save and stop."""
    while time.monotonic() < end:
        for name, job in jobs.items():
            if job.process is None and all(jobs[need].state == "done" for need in job.needs):
                job.began = time.monotonic()
                with (logs / f"{name}.txt").open("ab") as log:
                    job.process = subprocess.Popen(job.line, stdout=log, stderr=subprocess.STDOUT)
            elif job.process is not None and not job.took and job.state != "running":
                job.took = time.monotonic() - job.began
        if all(job.process is None or job.state != "running" for job in jobs.values()):
            if not any(j.process is None and all(jobs[n].state == "done" for n in j.needs) for j in jobs.values()):
                return
            continue
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
            newest = path.parent.name != "checkpoints" or path == max(path.parent.glob("*.pt"), default=path)
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
        tar.extractall(runs, filter="data")
    whole.unlink()


if __name__ == "__main__":
    arguments = tyro.cli(Arguments, description=__doc__)
    with one_line_errors("accelerator"):
        if arguments.command == "pack":
            pack(arguments)
        elif arguments.command == "unpack":
            restore(arguments.output, arguments.runs)
            print(arguments.runs)
        else:
            sys.exit(0 if run(arguments) else 1)
