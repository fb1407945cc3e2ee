"""What a run's record says of where and how it was made."""

import sys

from pmrf_blocks.training.environment import describe_environment


def test_the_command_does_not_say_where_the_checkout_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "recipes" / "sim_vae.py"), "--data", "faces"])
    assert describe_environment()["command"] == ["recipes/sim_vae.py", "--data", "faces"]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pmrf-blocks"])
    assert describe_environment()["command"] == ["/usr/bin/pmrf-blocks"]
