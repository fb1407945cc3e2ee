"""pmrf-blocks restore on whole photographs: lines, reports, galleries, refusals. No weights, no network."""

import json
import re
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image
from told_faces import Brighter, Told, blurred

from pmrf_blocks.cli import main
from pmrf_blocks.commands import restore as restore_command
from pmrf_blocks.faces import DetectorUnavailable
from pmrf_blocks.faces.dlib_mmod import DlibMMOD
from pmrf_blocks.images import LoadedImage, open_image, write_image


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    """A model that brightens, and two faces wherever one looks, one of them too large for it."""
    monkeypatch.setattr(restore_command, "load_restorer", lambda model, **options: Brighter(0.3))
    monkeypatch.setattr(restore_command, "build_detector", lambda name: Told((50, 60, 40), (120, 70, 70)))


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    (folder / "inner").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "inner/a.png"):
        Image.fromarray(blurred(120, 160)).save(folder / name, dpi=(300, 300), quality=95)
    (folder / "c.png").write_text("no picture")
    return folder


def test_a_folder(album, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = tmp_path / "report.json"
    call = ["restore", "album", "--recursive", "--compare", "--save-faces", "--report", str(report)]
    assert main(call) == 1  # one is no picture
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert len(lines) == 3
    assert re.fullmatch(
        r"\[1/4\] a\.png: 1 face restored \(40 px\), 1 left \(70 px, larger than 64\), \d+\.\d s", lines[0]
    )
    assert "4/4" in captured.err
    found = {str(path.relative_to(tmp_path / "restored")) for path in (tmp_path / "restored").rglob("*.*")}
    assert {"a.png", "b.jpg", "inner/a.png", "a_compare.png", "index.html", "faces/a.png/2_after.png"} <= found
    pictures = json.loads(report.read_text())["pictures"]
    assert [picture.get("skipped") is not None for picture in pictures] == [False, False, True, False]
    left, restored = pictures[0]["faces"]
    assert (left["action"], left["reason"], left["size"]) == ("left", "larger than 64", 70)
    assert (restored["action"], restored["size"], restored["box"]) == ("restored", 40, [30, 40, 70, 80])
    before, after = (np.asarray(Image.open(folder / "a.png")) for folder in (album, tmp_path / "restored"))
    assert Image.open(tmp_path / "restored" / "a.png").info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert (before != after).any()
    assert np.array_equal(before[:, 90:], after[:, 90:])  # beyond the face's frame, bit for bit
    assert main(call) == 2  # the report is there already


def test_the_page_needs_neither_server_nor_network(album, tmp_path):
    out = tmp_path / "out"
    assert main(["restore", str(album / "a.png"), str(album / "b.jpg"), "-o", str(out)]) == 0
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "://" not in page
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) == 6
    for link in links:
        assert (out / link).is_file()
    (out / "index.html").write_text("a page of somebody's own")
    assert main(["restore", str(album / "a.png"), "-o", str(out), "--overwrite"]) == 0
    assert (out / "index.html").read_text() == "a page of somebody's own"


def test_an_interruption_leaves_a_page_and_a_report_and_the_next_run_adds_to_them(album, tmp_path, monkeypatch):
    class Interrupted(Brighter):
        def restore(self, images, **options):
            if self.seen:
                raise KeyboardInterrupt
            return super().restore(images, **options)

    (album / "inner" / "ä b&%41.png").write_bytes((album / "a.png").read_bytes())
    monkeypatch.setattr(restore_command, "load_restorer", lambda model, **options: Interrupted(0.3))
    out, report = tmp_path / "out", tmp_path / "report.json"
    call = ["restore", str(album), "--recursive", "-o", str(out), "--report"]
    assert main([*call, str(report)]) == 130
    assert [picture["input"] for picture in json.loads(report.read_text())["pictures"]] == [str(album / "a.png")]
    shown_first = re.findall(r'<a href="([^"]+)"', (out / "index.html").read_text(encoding="utf-8"))
    assert shown_first == ["a.png"]
    small = (out / "index_files" / "a.png_before.jpg").read_bytes()
    monkeypatch.setattr(restore_command, "load_restorer", lambda model, **options: Brighter(0.3))
    assert main([*call, str(tmp_path / "second.json")]) == 1  # the first is there already
    page = (out / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'<a href="([^"]+)"', page)
    assert links == ["a.png", "b.jpg", "inner/a.png", "inner/%C3%A4%20b%26%2541.png"]
    for link in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert (out / unquote(link)).is_file()
    assert (out / "index_files" / "a.png_before.jpg").read_bytes() == small
    (out / "b.jpg").unlink()
    assert main(["restore", str(album / "a.png"), "-o", str(out), "--overwrite"]) == 0
    links = re.findall(r'<a href="([^"]+)"', (out / "index.html").read_text(encoding="utf-8"))
    assert links == ["a.png", "inner/a.png", "inner/%C3%A4%20b%26%2541.png"]  # once each, none of what is gone


def test_a_photograph_of_which_nothing_changes_keeps_its_file(album, tmp_path, monkeypatch):
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(blurred(120, 160)).save(album / "turned.jpg", quality=60, exif=turned)
    Image.fromarray(blurred(120, 160)).convert("CMYK").save(album / "inks.jpg", quality=60)
    (album / "really.png").write_bytes((album / "b.jpg").read_bytes())
    monkeypatch.setattr(restore_command, "build_detector", lambda name: Told((80, 60, 70)))  # larger than 2 x 32
    out = tmp_path / "out"
    assert main(["restore", str(album), "-o", str(out), "--report", str(tmp_path / "report.json")]) == 1
    for name in ("a.png", "b.jpg", "inks.jpg", "turned.jpg"):
        assert (out / name).read_bytes() == (album / name).read_bytes(), name
    assert Image.open(out / "really.png").format == "PNG"
    assert main(["restore", str(album / "b.jpg"), "-o", str(tmp_path / "large.jpg"), "--upscale", "2"]) == 0
    assert Image.open(tmp_path / "large.jpg").size == (320, 240)


def test_two_pictures_of_one_name_get_a_comparison_each(album, tmp_path):
    (album / "b.png").write_bytes((album / "a.png").read_bytes())
    out = tmp_path / "out"
    assert main(["restore", str(album / "b.jpg"), str(album / "b.png"), "-o", str(out), "--compare"]) == 0
    assert {path.name for path in out.glob("b*")} == {"b.jpg", "b_compare.png", "b.png", "b.png_compare.png"}


def test_one_file_gets_no_page(album, tmp_path):
    assert main(["restore", str(album / "a.png"), "-o", str(tmp_path / "new.png"), "--upscale", "2"]) == 0
    assert Image.open(tmp_path / "new.png").size == (320, 240)
    assert not (tmp_path / "index.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weight", "1.5"], "--weight must be in 0..1; got 1.5"),
        (["--aligned", "--upscale", "2"], "--upscale is for whole photographs"),
        (["--size", "model"], "--size is for --aligned crops"),
        (["--background", "net.pth"], "it needs --upscale 2 or 4"),
        (["--background", "net.pth", "--upscale", "2"], "net.pth"),
        (["--min-face", "100"], "--min-face must be at most --max-face; got 100 and 64"),
        (["--report", "report.txt"], "--report report.txt: the suffix must be one of .json"),
        (["--report", f"{__file__}/report.json"], "test_restore_photographs.py is a file"),
    ],
)
def test_bad_arguments(album, tmp_path, capsys, arguments, message):
    assert main(["restore", str(album / "a.png"), "-o", str(tmp_path / "o"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error or "spandrel" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_without_a_detector_one_line_and_aligned_works(album, tmp_path, capsys, monkeypatch):
    def none(name):
        raise DetectorUnavailable("no face detector: connect once; aligned crops are restored by --aligned")

    monkeypatch.setattr(restore_command, "build_detector", none)
    call = ["restore", str(album / "a.png"), "-o", str(tmp_path / "o")]
    assert main(call) == 2
    assert capsys.readouterr().err == f"pmrf-blocks restore: {none.__code__.co_consts[1]}\n"
    assert main([*call, "--aligned"]) == 0
    error = capsys.readouterr().err
    assert "a.png: restored as a whole at 32 pixels, this loses detail of its 160x120" in error


def test_dlib_in_the_place_of_yunet_is_said_so(album, tmp_path, capsys, monkeypatch):
    class Instead(DlibMMOD):
        def __init__(self):
            self.template = Told.template

        def __call__(self, image):
            return []

    monkeypatch.setattr(restore_command, "build_detector", lambda name: Instead())
    call = ["restore", str(album / "a.png"), "-o"]
    assert main([*call, str(tmp_path / "o.png")]) == 0
    said = "pmrf-blocks restore: YuNet's weights cannot be had, so that dlib looks for faces: upright ones of 80 pixels"
    assert capsys.readouterr().err.startswith(said)
    assert main([*call, str(tmp_path / "p.png"), "--detector", "dlib"]) == 0  # as asked for
    assert said not in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_stay_sixteen_bits(tmp_path, suffix):
    """In colour: outside the face every one of 65,536 levels is what it was."""
    grain = torch.rand(3, 120, 160, generator=torch.Generator().manual_seed(0))
    pixels = (torch.from_numpy(blurred(120, 160)).permute(2, 0, 1) + grain) / 256
    given, made = tmp_path / f"deep{suffix}", tmp_path / f"new{suffix}"
    write_image(LoadedImage(pixels, bit_depth=16), given)
    assert main(["restore", str(given), "-o", str(made)]) == 0
    before, after = open_image(given), open_image(made)
    assert after.bit_depth == 16
    levels = [(image.pixels * 65535).round() for image in (before, after)]
    assert torch.equal(levels[0][:, :, 90:], levels[1][:, :, 90:])
    assert len(levels[1].unique()) > 256  # not 8 bits in a larger coat
    assert not torch.equal(levels[0], levels[1])
