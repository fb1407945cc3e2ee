"""pmrf-blocks info: what is here, what is not and how to get it, what can be named."""

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path

import torch

from pmrf_blocks.autoencoders.norms import NORMS
from pmrf_blocks.cli import main
from pmrf_blocks.commands.optional_packages import OPTIONAL

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_info_is_json_on_request(capsys):
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["attention backends"]["tiled"] == "available"
    assert facts["versions"]["torch"] == torch.__version__


def test_info_names_what_every_extra_brings(capsys):
    extras = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    declared = {
        extra: {re.split(r"[<>=;\[ ]", line, maxsplit=1)[0] for line in lines}
        for extra, lines in extras.items()
        if extra not in ("test", "docs", "bench")
    }
    assert {extra: set(packages) for extra, packages in OPTIONAL.items()} == declared
    assert main(["info", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["optional packages"]
    assert shown["accelerate"]["version"] == metadata.version("accelerate")
    assert all(one["gives"] for one in shown.values())


def test_the_first_page_has_a_line_for_every_extra():
    page = (PROJECT.parent / "docs" / "index.md").read_text(encoding="utf-8")
    lines = re.findall(r'^pip install .*"\.\[(\w+)\]" +# \w', page, re.MULTILINE)
    assert sorted(lines) == sorted(OPTIONAL)


def test_info_says_how_to_get_what_is_missing(capsys, monkeypatch):
    def missing(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr("pmrf_blocks.commands.optional_packages.version", missing)
    assert main(["info"]) == 0
    assert "not installed: pip install pmrf-blocks[video] - restoring videos" in capsys.readouterr().out


def test_info_lists_blocks_and_ones_own(capsys, monkeypatch):
    class Mine:
        """A norm of mine."""

    monkeypatch.setitem(NORMS, "mine", Mine)
    assert main(["info", "--blocks"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"mine +A norm of mine\.", printed)
    for name in ("SimVAE", "dopri5", "blind-face", "fd_dinov2", "latent-pmrf", "tiled", "logit-normal"):
        assert re.search(rf"^  {name}\b", printed, re.MULTILINE), name
    assert main(["info", "--blocks", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["SimVAE(norm=)"]["mine"] == "A norm of mine."
