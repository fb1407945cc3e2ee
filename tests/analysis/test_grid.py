"""Grids of methods: the pictures' own pixels in every format, enlarged parts, and what does not fit together."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from pmrf_blocks.analysis import GridRow, Zoom, draw_grid, grid_figure
from pmrf_blocks.analysis.grid import FRAMES
from pmrf_blocks.cli import main
from pmrf_blocks.plotting import save_figure

HEIGHT, WIDTH = 72, 96


def picture(seed, height=HEIGHT, width=WIDTH):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tensor(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255.0


def colour(name):
    return np.array([int(name[i : i + 2], 16) for i in (1, 3, 5)])


def find(whole, part):
    """Places (top, left) at which `part` lies in `whole`, pixel by pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(whole[..., 0], part.shape[:2])
    first = np.argwhere((windows[:, :, 0, 0] == part[0, 0, 0]) & (windows[:, :, -1, -1] == part[-1, -1, 0]))
    return [(y, x) for y, x in first if np.array_equal(whole[y : y + part.shape[0], x : x + part.shape[1]], part)]


def embedded(pdf):
    """The images of a PDF that matplotlib wrote, decoded: their streams are PNG's, without its header."""
    found = []
    for match in re.finditer(rb"/Subtype /Image /Width (\d+) /Height (\d+)\n.*?stream\n", pdf, re.DOTALL):
        width, height = int(match.group(1)), int(match.group(2))
        stream = pdf[match.end() : pdf.index(b"\nendstream\nendobj", match.end())]

        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        image = Image.open(io.BytesIO(png + chunk(b"IDAT", stream) + chunk(b"IEND", b"")))
        found.append(np.asarray(image)[::-1])  # the lowest row is stored first
    return found


def test_every_pixel_is_shown_in_its_column():
    pictures = [[picture(10 * row + column) for column in range(3)] for row in range(2)]
    grid = np.asarray(draw_grid(["a", "b", "c"], [GridRow(tuple(map(tensor, row))) for row in pictures]))
    places = [[find(grid, one) for one in row] for row in pictures]
    assert all(len(found) == 1 for row in places for found in row)
    lefts = [[found[0][1] for found in row] for row in places]
    tops = [[found[0][0] for found in row] for row in places]
    assert lefts[0] == lefts[1] == [0, WIDTH + 2, 2 * WIDTH + 4]
    assert {*tops[0]} == {tops[0][0]}
    assert tops[1][0] == tops[0][0] + HEIGHT + 2
    assert (grid[: tops[0][0]] < 128).any()  # labels stand above
    assert grid.shape[:2] == (tops[1][0] + HEIGHT, 3 * WIDTH + 4)


def test_scaled_pixels_are_squares():
    pixels = picture(0)
    grid = np.asarray(draw_grid([""], [GridRow((tensor(pixels),))], scale=3))
    np.testing.assert_array_equal(grid, pixels.repeat(3, 0).repeat(3, 1))


@pytest.mark.parametrize("below", [False, True])
def test_zooms_show_the_same_part_of_every_method(below):
    pictures, zoom = [picture(0), picture(1)], Zoom(4, 6, 12)
    grid = draw_grid(["", ""], [GridRow(tuple(map(tensor, pictures)), (zoom,))], scale=4, zooms_below=below)
    grid = np.asarray(grid).astype(int)
    side = 4 * WIDTH if below else round(0.4 * 4 * HEIGHT)
    line, gap = 4 * WIDTH // 128, 4 * WIDTH // 48
    for number, pixels in enumerate(pictures):
        left = number * (4 * WIDTH + gap)
        corner = (4 * HEIGHT + gap, left) if below else (4 * HEIGHT - side, left + 4 * WIDTH - side)
        inset = grid[corner[0] : corner[0] + side, corner[1] : corner[1] + side]
        assert inset.shape[:2] == (side, side)
        assert (inset[0] == colour(FRAMES[0])).all()
        part = Image.fromarray(pixels[6:18, 4:16]).resize((side, side), Image.Resampling.NEAREST)
        inner = slice(line, side - line)
        np.testing.assert_array_equal(inset[inner, inner], np.asarray(part)[inner, inner])
        mark = grid[24 : 24 + 48, left + 16 : left + 16 + 48]
        assert (mark[0] == colour(FRAMES[0])).all()
        assert (mark[:, -1] == colour(FRAMES[0])).all()


def test_an_inset_keeps_off_what_is_marked():
    zooms = (Zoom(WIDTH - 14, HEIGHT - 14, 14), Zoom(0, 0, 14))
    blank = tensor(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    grid = np.asarray(draw_grid([""], [GridRow((blank,), zooms)])).astype(int)
    for zoom, name in zip(zooms, FRAMES):
        edge = [grid[zoom.top, zoom.left : zoom.left + 14], grid[zoom.top : zoom.top + 14, zoom.left]]
        assert all((pixels == colour(name)).all() for pixels in edge)


def test_a_pdf_holds_the_pictures_as_they_are_and_labels_as_text(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install pmrf-blocks[plots]")
    pictures = [picture(0), picture(1)]
    rows = [GridRow(tuple(map(tensor, pictures)), (Zoom(10, 8, 24),))]
    figure = grid_figure(["Ours", "a $ much longer name of a method"], rows, width=2.0)
    pdf = save_figure(figure, tmp_path / "grid.pdf").read_bytes()
    expected = [*pictures, *(one[8:32, 10:34] for one in pictures)]
    images = embedded(pdf)
    assert len(images) == 4
    assert all(any(np.array_equal(image, one) for image in images) for one in expected)
    assert b"/BaseFont" in pdf
    assert [text.get_text() for text in figure.axes[0].texts] == ["Ours", "a $ much longer name of a method"]
    column = figure.bbox.width * WIDTH / figure.axes[0].get_xlim()[1]
    assert all(text.get_window_extent().width <= 1.05 * column for text in figure.axes[0].texts)
    box = [float(v) for v in re.search(rb"/MediaBox \[([^\]]*)\]", pdf).group(1).split()]
    assert box[2] == pytest.approx(144)
    assert box[3] > 72 * HEIGHT / WIDTH
    assert pdf == save_figure(figure, tmp_path / "again.pdf").read_bytes()


def test_a_figure_stands_upright():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install pmrf-blocks[plots]")
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2] = 255
    figure = grid_figure([""], [GridRow((tensor(pixels),))], width=2.0)
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())[..., 0]
    height, width = drawn.shape
    assert drawn[: height // 3, : width // 3].min() == 255
    assert drawn[2 * height // 3 :].max() == drawn[:, 2 * width // 3 :].max() == 0


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (GridRow((tensor(picture(0)),)), "1 images for 2 labels"),
        (GridRow((tensor(picture(0)), tensor(picture(1, 10, 10)))), "differ in size: 10x10, 96x72"),
        (GridRow((tensor(picture(0)),) * 2, (Zoom(90, 0, 8),)), "90,0,8 does not lie in an image of 96x72"),
        (GridRow((tensor(picture(0)),) * 2, (Zoom(0, 0, 40),)), "0,0,40 would not be enlarged"),
        (GridRow((tensor(picture(0)),) * 2, (Zoom(0, 0, 4),) * 5), "at most 4"),
    ],
)
def test_what_does_not_fit(row, why):
    with pytest.raises(ValueError, match=why):
        draw_grid(["a", "b"], [row])


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, (folder, suffix) in enumerate((("lq", "png"), ("ours", "bmp"), ("gt", "png"))):
        (tmp_path / folder).mkdir()
        for name in range(5):
            Image.fromarray(picture(10 * number + name)).save(tmp_path / folder / f"{name}.{suffix}")
    return tmp_path


def test_command(folders, capsys):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install pmrf-blocks[plots]")
    columns = ["Input=lq", "ours", "GT=gt"]
    line = ["grid", *columns, "--images", "3,1", "--zoom", "1:2,3,24", "-o", "new/g.png", "new/g.pdf", "new/g.svg"]
    assert main(line) == 0
    assert capsys.readouterr().out.split() == ["new/g.png", "new/g.pdf", "new/g.svg"]
    grid = np.asarray(Image.open("new/g.png"))
    (first,), (again,) = (find(grid, picture(10 * number + 3)) for number in (0, 2))
    assert first[0] == again[0]
    assert first[1] < again[1]
    assert not find(grid, picture(1))  # a part of it is enlarged over its corner
    assert len(embedded((folders / "new/g.pdf").read_bytes())) == 9
    assert main(line) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["grid", *columns, "--rows", "2", "-o", "two.png"]) == 0
    assert len(find(np.asarray(Image.open("two.png")), picture(21))) == 1
    assert not find(np.asarray(Image.open("two.png")), picture(22))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("lq", "ours", "--rows", "5"), "ours has no 4$"),
        (("lq", "ours", "--images", "0,x"), "lq has no x; ours has no x$"),
        (("lq", "gt"), r"2 differs in size \(nothing is resized\): lq 96x72, gt 20x10$"),
        (("lq", "lq"), "two columns are called 'lq'; give them names"),
        (("lq", "none"), "no such file or folder: none"),
        (("lq", "--zoom", "7:0,0,8"), "no such row; there are: 0, 1, 2, 3"),
        (("lq", "--zoom", "90,0,8"), "90,0,8 does not lie in an image of 96x72"),
        (("lq", "--width", "nan"), "--width"),
        (("lq", "-o", "g.jpg"), "suffix must be one of .png, .svg, .pdf"),
    ],
)
def test_the_command_says_what_does_not_fit(folders, capsys, arguments, why):
    (folders / "ours/4.bmp").unlink()
    Image.fromarray(picture(0, 10, 20)).save(folders / "gt/2.png")
    output = [] if "-o" in arguments else ["-o", "g.png"]
    assert main(["grid", *arguments, *output]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert re.search(why, error)
    assert not (folders / "g.png").exists()


def test_single_files_are_one_row_whatever_their_names(folders):
    assert main(["grid", "A=lq/0.png", "B=ours/3.bmp", "-o", "g.png"]) == 0
    grid = np.asarray(Image.open("g.png"))
    assert find(grid, picture(0))[0][1] < find(grid, picture(13))[0][1]
