"""Every door that takes an image file, on every kind of file: the same pixels, or one line with the reason."""

import logging
import re
import tarfile

import numpy as np
import pytest
from PIL import Image

from pmrf_blocks.cli import main
from pmrf_blocks.data import DataError, ImageDataset, TarImages, find_images
from pmrf_blocks.images import describe_image, open_eight_bits
from tests.images.kinds import BAD, GOOD, SIDE

Result = tuple[np.ndarray | None, str]  # pixels, and what was said


pytestmark = pytest.mark.usefixtures("unchanged")


def one_line(text):
    """The lines that say something, without the bars; each is one line and none a traceback."""
    lines = [line.split("\r")[-1] for line in text.splitlines()]
    lines = [line for line in lines if line and "it/s" not in line and "%|" not in line]
    assert "Traceback" not in text
    assert all(len(line) < 600 for line in lines)
    return "\n".join(lines)


def through_folder(command, path, tmp_path, capsys, *options):
    out = tmp_path / "out"
    status = main([command, *options, str(path.parent), "--output", str(out)])
    said = one_line(capsys.readouterr().err)
    results = [path for path in sorted(out.glob("*")) if path.is_file() and path.suffix != ".html"]
    assert not list(tmp_path.rglob("*.tmp"))
    assert status == (0 if results else 1)
    return open_eight_bits(results[0])[0] if results else None, said


def restore(path, tmp_path, capsys):
    return through_folder("restore", path, tmp_path, capsys)


def aligned(path, tmp_path, capsys):
    return through_folder("restore", path, tmp_path, capsys, "--aligned")


def degrade(path, tmp_path, capsys):
    return through_folder("degrade", path, tmp_path, capsys)


def evaluate(path, tmp_path, capsys, caplog, expected):
    """Against the expected pixels: their PSNR says whether it read the same."""
    reference = np.zeros((SIDE, 24, 3), np.uint8) if expected is None else expected
    lossy = path.suffix in (".jpg", ".avif", ".mpo") or path.name.startswith("jpeg")
    grey = expected is not None and describe_image(path).grey
    Image.fromarray(reference[..., 0] if grey else reference).save(tmp_path / "reference.png")
    call = ["evaluate", str(path), "--reference", str(tmp_path / "reference.png"), "--metrics", "psnr"]
    status = main([*call, "--format", "csv", "--bootstrap", "0", "--device", "cpu"])
    captured = capsys.readouterr()
    if status == 2:
        return None, one_line(captured.err)
    said = one_line(captured.err) + caplog.text
    row = dict(zip(*(line.split(",") for line in captured.out.splitlines()[:2])))
    return (expected if float(row["psnr"]) >= (38 if lossy else 45) else np.zeros_like(expected)), said


def prepared(path, tmp_path, capsys, *options):
    out = tmp_path / "out"
    status = main(["prepare", *options, "--output", str(out)])
    said = one_line(capsys.readouterr().err)
    results = sorted(out.glob("*.png"))
    assert status in (0, 1, 2)
    assert (status == 0) == bool(results)
    return open_eight_bits(results[0])[0] if results else None, said


def shrunk(path, tmp_path, capsys):
    return prepared(path, tmp_path, capsys, "folder", str(path.parent), "--size", str(SIDE))


def patches(path, tmp_path, capsys):
    options = ("--size", str(SIDE), "--min-score", "0", "--stride", "99")
    return prepared(path, tmp_path, capsys, "lsdir", str(path.parent), *options)


def training(path, tmp_path, capsys, caplog):
    with caplog.at_level(logging.WARNING):
        try:
            dataset = ImageDataset(find_images(path.parent))
            if problems := dataset.problems([0]):
                return None, f"{problems[0][0]}: {problems[0][1]}"
            return dataset.read(0), caplog.text
        except DataError as error:
            return None, str(error)


def tarred(path, tmp_path, capsys, caplog):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(path, f"{path.stem}.png")  # in tars a suffix says what is a picture
    with caplog.at_level(logging.WARNING):
        try:
            return TarImages([tmp_path / "x.tar"]).read(0), caplog.text
        except DataError as error:
            return None, str(error)


DOORS = {
    "restore": restore,
    "aligned": aligned,
    "degrade": degrade,
    "evaluate": evaluate,
    "prepare": shrunk,
    "patches": patches,
    "training": training,
    "tar": tarred,
}


def go(door, path, tmp_path, capsys, caplog, expected=None):
    if door in ("training", "tar"):
        return DOORS[door](path, tmp_path, capsys, caplog)
    if door == "evaluate":
        return evaluate(path, tmp_path, capsys, caplog, expected)
    return DOORS[door](path, tmp_path, capsys)


def fitting(door, expected):
    """What the door makes of the pixels: patches are squares."""
    return expected[:SIDE, :SIDE] if door == "patches" else expected


@pytest.mark.parametrize("kind", GOOD, ids=lambda kind: kind.name)
@pytest.mark.parametrize("door", DOORS)
def test_the_same_pixels_at_every_door(door, kind, tmp_path, capsys, caplog):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / kind.name
    path.write_bytes(kind.data)
    pixels, said = go(door, path, tmp_path, capsys, caplog, kind.expected)
    if door in kind.refused:
        assert pixels is None
        assert kind.refused[door] in said
        return
    assert pixels is not None, said
    expected = fitting(door, kind.expected).astype(int)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= kind.bound + (
        door in ("restore", "aligned", "degrade")
    )  # there is one rounding more
    assert kind.note in said
    assert path.read_bytes() == kind.data


@pytest.mark.parametrize("kind", BAD, ids=lambda kind: kind.name)
@pytest.mark.parametrize("door", [door for door in DOORS if door != "tar"])
def test_one_line_at_every_door(door, kind, tmp_path, capsys, caplog):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / kind.name
    kind.put(path)
    if kind.name == "drawing.eps":  # not named like a picture of pixels: passed over, and nothing is left
        path = path.rename(path.with_suffix(".png"))
    pixels, said = go(door, path, tmp_path, capsys, caplog)
    assert pixels is None
    assert re.search(kind.reason, said), said
    assert path.name in said
