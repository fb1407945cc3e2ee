"""--strict and --max-pixels in every command that reads image files; HEIC with and without its package."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from pmrf_blocks.cli import main
from pmrf_blocks.data import DataError, ImageDataset
from pmrf_blocks.images import MAX_PIXELS, ImageError, open_image
from tests.images.kinds import GOOD, PICTURE, SIDE

pytestmark = pytest.mark.usefixtures("unchanged")
DAMAGED = ("exif_garbage.png", "exif_garbage.webp", "no_end.jpg", "no_end.png", "broken_text.png")
COMMANDS = {
    "restore": ("restore", "--aligned", "IN", "--output", "OUT"),
    "photographs": ("restore", "IN", "--output", "OUT"),
    "degrade": ("degrade", "IN", "--output", "OUT"),
    "evaluate": ("evaluate", "IN", "--reference", "IN", "--metrics", "psnr"),
    "grid": ("grid", "IN", "--output", "PNG"),
    "prepare": ("prepare", "folder", "IN", "--size", str(SIDE), "--output", "OUT"),
    "patches": ("prepare", "lsdir", "IN", "--size", str(SIDE), "--min-score", "0", "--output", "OUT"),
}


def call(name, tmp_path, *options):
    places = {"IN": str(tmp_path / "in"), "OUT": str(tmp_path / "out"), "PNG": str(tmp_path / "out/new.png")}
    return main([*(places.get(word, word) for word in COMMANDS[name]), *options])


@pytest.fixture(params=DAMAGED)
def damaged(request, tmp_path):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / request.param
    path.write_bytes(next(kind.data for kind in GOOD if kind.name == request.param))
    return path


@pytest.mark.parametrize("name", COMMANDS)
def test_strict_refuses_what_is_read_otherwise(name, damaged, tmp_path, capsys):
    assert call(name, tmp_path, "--strict") in (1, 2)
    error = capsys.readouterr().err
    assert "refused as --strict was given" in error
    assert damaged.name in error
    if name != "evaluate":
        assert not [path for path in (tmp_path / "out").glob("*.*") if path.suffix not in (".json", ".txt")]
    assert call(name, tmp_path) == 0


def test_strict_in_training(damaged):
    assert ImageDataset([damaged])[0].shape == (3, SIDE, SIDE)
    with pytest.raises(DataError, match=rf"{damaged.name}: .*--strict"):
        ImageDataset([damaged], strict=True)[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_limit_on_pixels(name, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    Image.fromarray(PICTURE).save(tmp_path / "in" / "a.png")
    assert call(name, tmp_path, "--max-pixels", "383") in (1, 2)
    assert "24x16 is more than 383 pixels (--max-pixels N allows more)" in capsys.readouterr().err
    assert call(name, tmp_path, "--max-pixels", "384") == 0


def test_the_limit_that_help_states(capsys):
    assert MAX_PIXELS == 250_000_000
    with pytest.raises(SystemExit):
        main(["degrade", "--help"])
    assert "250 million" in " ".join(capsys.readouterr().out.split())


def heic(*pictures):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.from_pillow(pictures[0])
    for picture in pictures[1:]:
        file.add_from_pillow(picture)
    data = io.BytesIO()
    file.save(data, format="HEIF", quality=-1)
    return data.getvalue()


def test_heic_is_read_where_its_package_is(tmp_path, monkeypatch):
    Image.init()
    before = set(Image.OPEN)
    smooth = np.linspace(40, 220, 64 * 48 * 3).reshape(64, 48, 3).astype(np.uint8)
    (tmp_path / "a.heic").write_bytes(heic(Image.fromarray(smooth), Image.fromarray(smooth)))
    image = open_image(tmp_path / "a.heic")
    assert np.abs((image.pixels * 255).round().permute(1, 2, 0).numpy() - smooth).max() <= 8
    assert image.notes == ("the first of 2 pictures was taken",)
    assert set(Image.OPEN) == before  # nothing is registered for the whole process
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"^HEIC needs the package pillow-heif: pip install pmrf-blocks\[heif\]$"):
        open_image(tmp_path / "a.heic")


def test_avif_without_its_codec_names_what_is_missing(tmp_path, monkeypatch):
    Image.fromarray(PICTURE).save(tmp_path / "a.avif")
    assert open_image(tmp_path / "a.avif").pixels.shape == (3, 16, 24)
    monkeypatch.delitem(Image.OPEN, "AVIF")
    with pytest.raises(ImageError, match="AVIF needs a Pillow that was built with it"):
        open_image(tmp_path / "a.avif")
