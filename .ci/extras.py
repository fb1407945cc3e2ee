"""Each extra of pyproject.toml alone, on every Python from 3.11 to 3.14: is there a set of wheels that fits?

    python .ci/extras.py

A set for all extras at once has one for each in it, so that is asked first; each alone only where there is none.
Resolved, not installed, under constraints.txt, by uv: it reads wheels' metadata where pip would take each wheel whole,
torch's with every Python. That pip finds them too is shown by the extras that CI installs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11.9", "3.12", "3.13", "3.14")
# These publish no wheel. natten's build asks for torch, so that no resolver can ask it what it needs: nothing else.
SOURCES = ("openai-clip", "face-recognition-models", "natten")
NATTEN = '[[dependency-metadata]]\nname = "natten"\nversion = "0.21.7"\nrequires-dist = []\n'


def conflict(extras: list[str], python: str, settings: Path) -> str | None:
    """Why these extras do not fit together on this Python; None where they do."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-python-downloads"]
    command += ["--config-file", str(settings), "--python-version", python, "--only-binary", ":all:"]
    command += [part for name in SOURCES for part in ("--no-binary", name)]
    command += [part for extra in extras for part in ("--extra", extra)]
    command += ["-c", "constraints.txt", "pyproject.toml", "--output-file", "/dev/null"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return run.stderr.strip() if run.returncode else None


def conflicts(extras: list[str], python: str, settings: Path) -> list[str]:
    """One text for each extra that has no set of wheels; an index that did not answer is asked once more."""
    if conflict(extras, python, settings) is None:
        return []
    time.sleep(10)
    found = {extra: conflict([extra], python, settings) for extra in extras}
    return [f"pmrf-blocks[{extra}] on Python {python}: {why}" for extra, why in found.items() if why]


def main() -> int:
    extras = list(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "uv.toml"
        settings.write_text(NATTEN)
        found = [line for python in PYTHONS for line in conflicts(extras, python, settings)]
    print("\n".join(found) or f"{len(extras)} extras resolve on Python {', '.join(PYTHONS)}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
