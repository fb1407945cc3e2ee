"""The wheel and the sdist: built, looked through, and the wheel tried in an environment that has nothing else.

    python .ci/packages.py

Needs `build`. Ends with the first thing that is wrong, in one line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "pmrf_blocks"
MEGABYTES = {".whl": 40, ".gz": 48}  # the bundled weights are 34; an index takes 100
LEFT_OUT = {"__pycache__"}
SDIST_HAS = ("tests/", "docs/", "recipes/", "benchmarks/", ".ci/", "pyproject.toml", "constraints.txt", "mkdocs.yml")


def expected() -> set[str]:
    """Every file of the package, weights and py.typed among them, as a wheel names them."""
    files = (path for path in (ROOT / PACKAGE).rglob("*") if path.is_file() and not LEFT_OUT & set(path.parts))
    return {path.relative_to(ROOT).as_posix() for path in files}


def wheel_problems(names: Iterable[str], files: set[str]) -> list[str]:
    """What a wheel with these names lacks of `files`, or has beyond them and its own metadata."""
    names = {name for name in names if ".dist-info/" not in name}
    needed = {f"{PACKAGE}/py.typed", f"{PACKAGE}/weights/bundled/config.json"}
    problems = [f"the wheel lacks {name}" for name in sorted((files | needed) - names)]
    return problems + [f"the wheel has {name}, which is no part of the package" for name in sorted(names - files)]


def sdist_problems(names: Iterable[str], files: set[str]) -> list[str]:
    """What an sdist with these names, without their first folder, lacks."""
    names = set(names)
    problems = [f"the sdist lacks {name}" for name in sorted(files - names)]
    for needed in SDIST_HAS:
        if not any(name.startswith(needed) for name in names):
            problems.append(f"the sdist lacks {needed}")
    return problems


def size_problems(path: Path) -> list[str]:
    size, limit = path.stat().st_size / 1e6, MEGABYTES[path.suffix]
    return [f"{path.name} has {size:.1f} MB, more than {limit}"] if size > limit else []


def retried(*command: str) -> None:
    """The command, once more where it fails: an index that does not answer for a moment."""
    if subprocess.run(command, cwd=ROOT).returncode:
        time.sleep(20)
        subprocess.run(command, cwd=ROOT, check=True)


def build(folder: Path) -> tuple[Path, Path]:
    """The sdist, and the wheel out of it."""
    retried(sys.executable, "-m", "build", "--outdir", str(folder), ".")
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def try_wheel(wheel: Path, folder: Path) -> None:
    """Install the wheel with what it asks for and nothing else; import it and run its command, far from the clone."""
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = str(environment / "bin" / "python")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile")
    retried(*pip, "-c", "constraints.txt", str(wheel))
    code = "import pmrf_blocks; from pmrf_blocks import restore; print(pmrf_blocks.__file__)"
    imported = subprocess.run([python, "-I", "-c", code], cwd=folder, check=True, capture_output=True, text=True)
    assert str(environment) in imported.stdout, f"imported {imported.stdout.strip()}, not what was installed"
    command = str(environment / "bin" / "pmrf-blocks")
    told = subprocess.run([command, "info", "--json"], cwd=folder, check=True, capture_output=True, text=True).stdout
    model = json.loads(told)["bundled model"]
    assert model.get("parameters"), f"the weights of the wheel are not read: {model}"


def main() -> int:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel, sdist = build(folder / "dist")
        files = expected()
        with zipfile.ZipFile(wheel) as archive:
            problems = wheel_problems(archive.namelist(), files)
        with tarfile.open(sdist) as archive:
            members = [member.name.split("/", 1)[-1] for member in archive if member.isfile()]
        problems += sdist_problems(members, files) + size_problems(wheel) + size_problems(sdist)
        if problems:
            print("\n".join(problems))
            return 1
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB; {sdist.name}: {sdist.stat().st_size / 1e6:.1f} MB")
        try_wheel(wheel, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
