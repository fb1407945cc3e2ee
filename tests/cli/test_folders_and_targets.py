"""Which files commands take, what they call the results, and that no input is ever overwritten."""

import io
import json
import os
import sys

import numpy as np
import pytest
from PIL import Image

from pmrf_blocks.cli import main
from pmrf_blocks.data import DataError, ImageDataset, find_images
from pmrf_blocks.images import find_pictures, open_eight_bits

pytestmark = pytest.mark.usefixtures("unchanged")
KINDS = {".jpg": "JPEG", ".gif": "GIF"}
WRITERS = (("restore", "--aligned"), ("degrade",))


def picture(path, seed=0, mode="RGB", size=(16, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, KINDS.get(path.suffix, "PNG"))
    return path


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def album(tmp_path):
    """Pictures among what systems and people put beside them."""
    folder = tmp_path / "album"
    picture(folder / "a.png")
    picture(folder / "no suffix")
    picture(folder / "holiday.2024")
    picture(folder / "sub" / "b.png")
    for hidden in ("._a.png", ".thumbnails/t.png", "@eaDir/a.png/x.png", "sub/.hidden.png"):
        picture(folder / hidden)
    (folder / "notes.txt").write_text("P3 is what this begins with", encoding="utf-8")
    (folder / "lost").symlink_to(folder / "nowhere")
    (folder / "again").symlink_to(folder / "sub")
    (folder / "round").symlink_to(folder)
    return folder


HERE = ["a.png", "holiday.2024.png", "no suffix.png"]


@pytest.mark.parametrize("command", WRITERS, ids=lambda command: command[0])
@pytest.mark.parametrize("recursive", [False, True])
def test_folders(command, recursive, album, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*command, str(album), "-o", str(out), *(["--recursive"] if recursive else [])]) == 0
    assert files(out) == ([*HERE, "sub/b.png"] if recursive else HERE)
    line = next(line for line in capsys.readouterr().err.splitlines() if "passed over" in line)
    assert "1 not an image" in line
    assert "1 a link to nothing (lost)" in line
    assert f"{4 if recursive else 3} hidden" in line
    assert ("2 folder that was taken already" if recursive else "3 folder (--recursive takes") in line


def test_evaluate_takes_the_same_files(album, tmp_path, capsys, caplog):
    assert main(["degrade", str(album), "-o", str(tmp_path / "out"), "--recursive"]) == 0
    capsys.readouterr()
    call = ["evaluate", str(tmp_path / "out"), "--reference", str(album), "--metrics", "psnr", "--format", "json"]
    assert main([*call, "--recursive", "--per-image", str(tmp_path / "each.json")]) == 0
    assert json.loads(capsys.readouterr().out)["methods"][0]["scores"]["psnr"]["value"] == "inf"
    names = [row["image"] for row in json.loads((tmp_path / "each.json").read_text(encoding="utf-8"))]
    assert sorted(names) == ["a", "holiday.2024", "no suffix", "sub/b"]
    assert sum(record.message.startswith("passed over") for record in caplog.records) == 1  # once, whoever asks


def test_training_and_prepare_take_the_same_files(album, tmp_path, caplog, capsys):
    taken = [str(path.relative_to(album)) for path in find_images(album)]
    assert taken == ["a.png", "holiday.2024", "no suffix", "sub/b.png"]
    assert "passed over in" in caplog.text
    assert [path.name for path in find_images(album, recursive=False)] == ["a.png", "holiday.2024", "no suffix"]
    assert main(["prepare", "folder", str(album), "--output", str(tmp_path / "out"), "--size", "8"]) == 0
    assert files(tmp_path / "out") == [*HERE, "prepare.json", "sub/b.png"]
    assert main(["prepare", "folder", str(album), "--output", str(tmp_path / "few"), "--no-recursive"]) == 0
    assert "sub" not in os.listdir(tmp_path / "few")
    picture(album / "line\nbreak.png")
    (album / "a.png").rename(album / os.fsdecode(b"caf\xe9.png"))
    assert main(["prepare", "ffhq", str(album), "-o", str(tmp_path / "faces"), "--size", "16"]) == 0
    listed = find_images(tmp_path / "faces" / "first-10000.txt")
    assert [os.fsencode(path.name) for path in listed] == [
        b"caf\xe9.png", b"holiday.2024.png", b"no suffix.png", b"b.png"
    ]  # fmt: skip
    assert "left out of" in capsys.readouterr().err


def test_a_linked_folder_that_is_not_below_is_followed(tmp_path):
    picture(tmp_path / "elsewhere" / "x.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "second").symlink_to(tmp_path / "elsewhere")
    assert [path.name for path in find_pictures(tmp_path / "in", recursive=True).paths] == ["x.png"]


def test_a_broken_link_among_training_images_is_named(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "absent.png")
    with pytest.raises(DataError, match=r"b\.png: a link to a file that is not there"):
        find_images(tmp_path)


@pytest.mark.parametrize("command", WRITERS, ids=lambda command: command[0])
def test_results_below_the_source_are_not_taken_again(command, tmp_path):
    picture(tmp_path / "a.png")
    call = [*command, str(tmp_path), "-o", str(tmp_path / "out"), "--recursive", "--overwrite"]
    assert main(call) == 0
    assert main(call) == 0
    assert files(tmp_path) == ["a.png", "out/a.png"]


NAMES = [
    "x" * 251 + ".png",
    "é" * 125 + ".gif",
    "x" * 255,
    "-dash.png",
    "--output.png",
    "顔 写真.png",
    "line\nbreak.png",
    "A.png",
    "a.png",
    "trailing .png",
    "100%.png",
    "'quote\".png",
    os.fsdecode(b"caf\xe9.png"),
]


@pytest.mark.parametrize("command", WRITERS, ids=lambda command: command[0])
def test_names_are_written_rerun_and_evaluated(command, tmp_path, capsys, monkeypatch):
    source, out = tmp_path / "in", tmp_path / "out"
    for seed, name in enumerate(NAMES):
        (picture(source / f"{seed}.png", seed)).rename(source / name)
    call = [*command, str(source), "-o", str(out)]
    assert main(call) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == len(NAMES)  # one line a result, whatever the name
    captured.out.encode("utf-8")
    results = {path.name: path.read_bytes() for path in out.iterdir()}
    assert len(results) == len(NAMES)
    assert all(len(os.fsencode(name)) <= 255 for name in results)
    assert main(call) == 1  # all of them are there
    assert "exists (--overwrite replaces it)" in capsys.readouterr().err
    assert main([*call, "--overwrite"]) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == results
    os.unlink(source / ("x" * 255))  # whose result has another name
    os.unlink(next(path for path in out.iterdir() if path.name.startswith("xxx") and "-" in path.name))
    each = tmp_path / "each.csv"
    measured = ["evaluate", str(out), "--reference", str(source), "--metrics", "psnr", "--per-image", str(each)]
    assert main(measured) == 0
    assert len(each.read_bytes().decode("utf-8").splitlines()) == len(NAMES)


def test_a_name_that_the_terminal_cannot_show(tmp_path, monkeypatch):
    picture(tmp_path / "in" / "é.png")
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["degrade", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    assert terminal.buffer.getvalue().endswith(b"\\xe9.png\n")


@pytest.mark.parametrize("batch", ["1", "4"])
def test_comparisons_of_pictures_that_share_a_stem(batch, tmp_path):
    picture(tmp_path / "in" / "a.jpg", 1)
    picture(tmp_path / "in" / "a.png", 2)
    call = ["restore", "--aligned", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--compare", "--batch", batch]
    assert main(call) == 0
    assert files(tmp_path / "out") == ["a.jpg", "a.png", "a.png_compare.png", "a_compare.png"]


@pytest.mark.parametrize("batch", ["1", "4"])
@pytest.mark.parametrize("output", ["in", "out"])
def test_an_input_that_is_called_like_a_comparison(batch, output, tmp_path, capsys):
    for seed, name in enumerate(("b.gif", "b_compare.png", "c.png")):
        picture(tmp_path / "in" / name, seed, "P" if name.endswith("gif") else "RGB")
    before = {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()}
    call = [
        "restore",
        "--aligned",
        str(tmp_path / "in"),
        "-o",
        str(tmp_path / output),
        "--compare",
        "--batch",
        batch,
        "--overwrite",
    ]
    assert main(call) == 1
    assert {name: (tmp_path / "in" / name).read_bytes() for name in before} == before
    if output == "out":
        expected = ["b.png", "b_compare.png", "c.png", "c_compare.png"]
        assert files(tmp_path / "out") == expected
        assert Image.open(tmp_path / "out" / "b_compare.png").width > 500  # the comparison of the first, not a result


@pytest.mark.parametrize("command", WRITERS, ids=lambda command: command[0])
def test_an_input_is_not_replaced_before_it_is_read(command, tmp_path, capsys):
    first, second = picture(tmp_path / "A" / "x.png", 1), picture(tmp_path / "B" / "x.png", 2)
    before = second.read_bytes()
    call = [*command, str(first), str(second), "-o", str(tmp_path / "B"), "--overwrite"]
    assert main(call) == 1
    assert second.read_bytes() == before
    error = capsys.readouterr().err
    assert f"{first}: the result would replace the input {second}" in error
    assert f"{second}: the result would replace the input;" in error


@pytest.mark.parametrize("command", WRITERS, ids=lambda command: command[0])
def test_links_do_not_hide_that_a_target_is_an_input(command, tmp_path):
    source = picture(tmp_path / "in" / "x.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    before = source.read_bytes()
    assert main([*command, str(source), "-o", str(tmp_path / "link"), "--overwrite"]) == 1
    assert source.read_bytes() == before


@pytest.mark.parametrize("command", WRITERS, ids=lambda command: command[0])
@pytest.mark.parametrize("suffix", [".gif", ".heic", ".avif", ".pdf", ".GIF"])
def test_one_file_of_a_kind_that_is_not_written(command, suffix, tmp_path, capsys):
    source = picture(tmp_path / "a.png")
    assert main([*command, str(source), "-o", str(tmp_path / f"o3{suffix}")]) == 2
    assert f"cannot write {suffix}; name a file that ends in .png" in capsys.readouterr().err
    assert files(tmp_path) == ["a.png"]


def test_one_picture_given_twice_is_done_once(tmp_path):
    source = picture(tmp_path / "in" / "a.png")
    assert main(["degrade", str(source), str(source.parent), str(source), "-o", str(tmp_path / "out")]) == 0
    assert files(tmp_path / "out") == ["a.png"]


@pytest.mark.parametrize("command", WRITERS, ids=lambda command: command[0])
def test_grey_pictures_go_all_the_way(command, tmp_path, capsys):
    for seed, mode in enumerate(("L", "1", "LA")):
        path = tmp_path / "in" / f"{seed}.png"
        path.parent.mkdir(exist_ok=True)
        grey = np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(grey).convert(mode).save(path)
    assert main([*command, str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    assert Image.open(tmp_path / "out" / "0.png").mode == "L"
    call = ["evaluate", str(tmp_path / "out"), "--reference", str(tmp_path / "in"), "--metrics", "psnr,ssim"]
    assert main(call) == 0
    for name in ("0.png", "1.png", "2.png"):
        assert np.array_equal(open_eight_bits(tmp_path / "out" / name)[0], open_eight_bits(tmp_path / "in" / name)[0])


def test_a_picture_that_would_be_huge_at_the_training_size_is_named(tmp_path):
    Image.new("RGB", (100_000, 1)).save(tmp_path / "long.png")
    dataset = ImageDataset(find_images(tmp_path), size=512)
    ((path, reason),) = dataset.problems([0])
    assert path.name == "long.png"
    assert reason == "would be 51200000x512 at size 512, more than 250,000,000 pixels"
    with pytest.raises(DataError, match=r"long\.png would be 51200000x512"):
        dataset[0]


def test_pictures_that_restore_makes_of_its_own_replace_no_input(tmp_path, capsys):
    source = picture(tmp_path / "out" / "faces" / "a.png" / "1_before.png")
    before = source.read_bytes()
    assert main(["restore", str(source), "-o", str(tmp_path / "out"), "--save-faces", "--overwrite"]) == 2
    assert "lies where the command writes pictures of its own" in capsys.readouterr().err
    assert source.read_bytes() == before


def test_evaluate_writes_no_text_over_a_picture(tmp_path, capsys):
    source = picture(tmp_path / "in" / "a.png")
    before = source.read_bytes()
    call = ["evaluate", str(source), "--reference", str(source), "--metrics", "psnr", "--output", str(source)]
    assert main(call) == 2
    assert "has the name of a picture" in capsys.readouterr().err
    assert source.read_bytes() == before
