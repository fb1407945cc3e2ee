"""What waits for an accelerator, in pieces of minutes: checks, the model that ships, benchmarks, tables.

    python -m recipes.accelerator pack --data DIR --packed packed        # images of DIR, in under 40 MB, to carry there
    python -m recipes.accelerator run --packed packed --minutes 9 --output OUT    # there: the next that is not done
    python -m recipes.accelerator run --packed packed --minutes 9 --output OUT2 --before OUT       # and so on
    python -m recipes.accelerator unpack --output OUT --runs runs        # back here: the run folders

OUT holds what came about as runs.tar.00, runs.tar.01, ... of at most 15 MiB each: records, finished networks in half
precision and, where a stage was broken off, its newest checkpoint. Jobs of an item that do not wait for one another
share the device.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from pmrf_blocks.experiments.pieces import Job, Packing, do_next, pack, restore
from pmrf_blocks.training.frame import one_line_errors

PACKED = (
    Packing("faces256/train", 134, 95),
    Packing("faces256/val", 128, None),
    Packing("photo-faces", 134, 95, optional=True),
    Packing("photos", 192, 88, first=900),
)


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
    scale: Literal["small", "debug"] = "small"
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
    measured = ["--device", arguments.device, "--output", f"{runs}/benchmarks.json", "--page", f"{runs}/benchmarks.md"]
    return {
        "checks": {"kernels": Job([python, "-m", "pytest", "-q", "-x", "tests/kernels", "tests/attention"])},
        "model": {
            "autoencoder": stage("autoencoder"),
            "estimator": stage("estimator"),
            "mean": stage("mean"),
            "decoder": stage("decoder", "autoencoder"),
            "teacher": stage("teacher", "autoencoder", "estimator"),
            "flow": stage("flow", "mean", "teacher"),
            "pixel": stage("pixel", "mean"),
        },
        "benchmarks": {"cuda": Job([python, "-m", "benchmarks", "cuda", *quick, *measured])},
        "tables": {name: table(name) for name in ("table2_architecture", "table3_channels", "figure3_convergence")},
    }


if __name__ == "__main__":
    arguments = tyro.cli(Arguments, description=__doc__)
    with one_line_errors("accelerator"):
        if arguments.command == "pack":
            size = pack(PACKED, arguments.data, arguments.packed)
            print(f"{arguments.packed}: {size / 2**20:.1f} MiB")
        elif arguments.command == "unpack":
            restore(arguments.output, arguments.runs)
            print(arguments.runs)
        else:
            here = {"runs": arguments.runs, "output": arguments.output}
            begun = do_next(items(arguments), arguments.items, arguments.before, arguments.minutes, **here)
            sys.exit(0 if begun else 1)
