"""Figures: without a display, without global state, and a message where matplotlib is missing."""

import re
import sys

import pytest

from pmrf_blocks.plotting import figure_style, new_figure, save_figure


def test_a_figure_is_written_alike_each_time(tmp_path):
    def draw(name):
        figure = new_figure(2, 1)
        figure.subplots().plot([0, 1], [1, 0])
        return save_figure(figure, tmp_path / "new" / name).read_bytes()

    first = draw("a.png")
    assert first.startswith(b"\x89PNG")
    assert first == draw("b.png")
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_a_paper_has_letters_and_widths_of_its_own(tmp_path):
    def draw(style):
        with figure_style(style) as chosen:
            figure = new_figure(chosen.width or 7.5, 2)
            figure.subplots().set(xlabel="images", ylabel="FID")
        return save_figure(figure, tmp_path / f"{style}.pdf", style=style).read_bytes()

    screen, paper = draw("screen"), draw("paper")
    fonts = {name: set(re.findall(rb"/BaseFont /(?:[A-Z]{6}\+)?(\w+)", pdf)) for name, pdf in
             (("screen", screen), ("paper", paper))}  # fmt: skip
    assert fonts == {"screen": {b"DejaVuSans"}, "paper": {b"STIXGeneral"}}  # of ticks too
    assert b"/MediaBox [ 0 0 241.2 144 ]" in paper
    assert b"/CIDFontType2" in paper or b"/FontFile2" in paper  # TrueType, embedded
    with pytest.raises(ValueError, match="'screen', 'paper'"), figure_style("poster"):
        pass


def test_what_to_install_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pmrf-blocks\[plots\]"):
        new_figure(1, 1)
