"""Figures: without a display, without global state, and a message where matplotlib is missing."""

import sys

import pytest

from pmrf_blocks.plotting import new_figure, save_figure


def test_a_figure_is_written_alike_each_time(tmp_path):
    def draw(name):
        figure = new_figure(2, 1)
        figure.subplots().plot([0, 1], [1, 0])
        return save_figure(figure, tmp_path / "new" / name).read_bytes()

    first = draw("a.png")
    assert first.startswith(b"\x89PNG")
    assert first == draw("b.png")
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_what_to_install_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pmrf-blocks\[plots\]"):
        new_figure(1, 1)
