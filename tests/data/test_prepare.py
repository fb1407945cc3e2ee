"""pmrf-blocks prepare: what it makes of each set, going on after a stop, and what it says of bad files and counts."""

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pmrf_blocks.cli import build_parser, main
from pmrf_blocks.commands.prepare import drop_torn_line
from pmrf_blocks.data import DataError, ImageDataset, find_images
from pmrf_blocks.data.patches import patch_corners
from pmrf_blocks.data.preparing import Outcome, decode, prepare, size_of
from pmrf_blocks.data.published_sets import PUBLISHED_SETS
from pmrf_blocks.data.scores import QAlign, read_scores


def picture(path, width=16, height=16, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def run(*arguments):
    return main(["prepare", *map(str, arguments)])


@given(length=st.integers(1, 60), height=st.integers(1, 60), size=st.integers(1, 20), stride=st.integers(1, 30))
def test_patches_cover_an_image_up_to_its_borders(length, height, size, stride):
    corners = patch_corners(length, height, size, stride)
    assert bool(corners) == (min(length, height) >= size)
    assert len(set(corners)) == len(corners)
    covered = np.zeros((height, length), bool)
    for left, top in corners:
        assert 0 <= left <= length - size
        assert 0 <= top <= height - size
        covered[top : top + size, left : left + size] = True
    if corners:
        assert covered[:, [0, -1]].any(0).all()
        assert covered[[0, -1]].any(1).all()
        assert covered.all() or stride > size


def test_patches_are_stride_apart():
    assert patch_corners(1280, 512, 512, 384) == [(0, 0), (384, 0), (768, 0)]
    assert patch_corners(1300, 512, 512, 384) == [(0, 0), (384, 0), (768, 0), (788, 0)]


def test_ffhq_is_halved_without_aliasing_and_listed(tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    for number in range(5):
        picture(source / f"0000{number // 2}" / f"{number:05}.png", 32, 32, number)
    assert run("ffhq", source, "--output", out, "--size", 16, "--first", 3, "--workers", 2) == 0
    shown = capsys.readouterr()
    assert "ffhq: 5 found; 5 written, 0 there already, 0 with problems" in shown.out
    assert "5 images in" in shown.err
    assert "where 70000 are expected" in shown.err
    with Image.open(source / "00001/00002.png") as image:
        expected = image.resize((16, 16), Image.Resampling.LANCZOS)
    assert np.array_equal(np.asarray(Image.open(out / "00001/00002.png")), np.asarray(expected))
    first = find_images(out / "first-3.txt")
    assert [path.name for path in first] == ["00000.png", "00001.png", "00002.png"]
    assert len(ImageDataset(first)) == 3
    assert len(find_images(out)) == 5


def test_the_same_command_goes_on(tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    for number in range(4):
        picture(source / f"{number}.jpg", 24, 20, number)
    assert run("folder", source, "--output", out, "--size", 10) == 0
    kept = (out / "1.png").stat().st_mtime_ns
    (out / "2.png").unlink()
    assert run("folder", source, "--output", out, "--size", 10) == 0
    assert "4 found; 1 written, 3 there already" in capsys.readouterr().out
    assert (out / "1.png").stat().st_mtime_ns == kept
    assert Image.open(out / "2.png").size == (12, 10)
    assert run("folder", source, "--output", out, "--size", 12) == 2
    assert "take another folder" in capsys.readouterr().err


def test_bad_files_are_listed_and_the_rest_is_done(tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    picture(source / "good.png", 20, 20)
    picture(source / "oblong.png", 20, 24)
    picture(source / "small.png", 8, 8)
    (source / "broken.png").write_bytes((source / "good.png").read_bytes()[:200])
    assert run("ffhq", source, "--output", out, "--size", 16) == 1
    shown = capsys.readouterr()
    assert "1 written, 0 there already, 3 with problems" in shown.out
    lines = dict(line.split("\t") for line in (out / "problems.txt").read_text().splitlines())
    reasons = {path.rsplit("/", 1)[1]: reason for path, reason in lines.items()}
    assert reasons["oblong.png"] == "is 20x24, not square"
    assert reasons["small.png"] == "is 8x8, smaller than 16"
    assert reasons["broken.png"].startswith("cannot be read: ")
    assert not list(out.rglob("*.tmp"))


def test_real_sets_are_copied_byte_for_byte(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    picture(source / "a.jpg")
    picture(source / "b.png")
    assert run("lfw", source, "--output", out) == 0
    assert all((out / name).read_bytes() == (source / name).read_bytes() for name in ("a.jpg", "b.png"))
    (source / "c.png").write_bytes(b"no image")
    assert run("lfw", source, "--output", out) == 1
    assert not (out / "c.png").exists()


@pytest.mark.parametrize(
    ("expect", "status"), [(("--expect", 2), 0), (("--expect", 3), 2), (("--expect",), 2), ((), 0)]
)
def test_counts(tmp_path, capsys, expect, status):
    for number in range(2):
        picture(tmp_path / "in" / f"{number}.png")
    assert run("webphoto", tmp_path / "in", "--output", tmp_path / "out", *expect) == status
    if status:
        assert "2 images in" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_published_counts():
    assert {name: one.images for name, one in PUBLISHED_SETS.items()} == {
        "ffhq": 70000, "lsdir": 84991, "celeba-test": 3000, "lfw": 1711, "webphoto": 407, "wider": 970, "faces": None,
        "folder": None,
    }  # fmt: skip
    for name in PUBLISHED_SETS:
        assert build_parser().parse_args(["prepare", name, "in", "--output", "out"]).set == name


def test_celeba_pairs_by_name(tmp_path, capsys):
    hq, lq, out = tmp_path / "hq", tmp_path / "lq", tmp_path / "out"
    for name in ("1", "2", "3"):
        picture(hq / f"{name}.png", 32, 32)
    for name in ("2", "3", "4"):
        picture(lq / f"{name}.jpg", 8, 8)
    assert run("celeba-test", hq, "--lq", lq, "--output", out, "--size", 16) == 1
    shown = capsys.readouterr()
    assert "2 found; 4 written, 0 there already, 2 with problems" in shown.out
    assert "1.png: has no counterpart" in shown.err
    assert "4.jpg: has no counterpart" in shown.err
    assert sorted(path.name for path in out.rglob("*g")) == ["2.jpg", "2.png", "3.jpg", "3.png"]
    assert Image.open(out / "hq/2.png").size == (16, 16)
    assert Image.open(out / "lq/2.jpg").size == (8, 8)
    assert run("celeba-test", hq, "--output", out) == 2


def patches(tmp_path, scores, *arguments):
    pixels = picture(tmp_path / "in/a/x.png", 40, 16)
    picture(tmp_path / "in/y.png", 8, 8)
    if scores is not None:
        (tmp_path / "s.json").write_text(json.dumps(scores))
        arguments = ("--scores", tmp_path / "s.json", *arguments)
    common = ("--output", tmp_path / "out", "--size", 16, "--stride", 12)
    return pixels, run("lsdir", tmp_path / "in", *common, *arguments)


def test_lsdir_keeps_patches_by_a_file_of_scores(tmp_path, capsys):
    scores = {"a/x_0_0.png": 3.5, "a/x_0_12.png": 3.4, "a/x_0_24.png": 5}
    pixels, status = patches(tmp_path, scores)
    assert status == 1  # y.png is too small
    assert "2 written, 0 there already, 1 with problems" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.png")) == ["x_0_0.png", "x_0_24.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/a/x_0_24.png")), pixels[:, 24:])


def test_lsdir_names_patches_without_a_score(tmp_path, capsys):
    _, status = patches(tmp_path, {"a/x_0_0.png": 4.0, "a/x_0_12.png": 1.0})
    assert status == 1
    assert "x_0_24.png: has no score" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.png")) == ["x_0_0.png"]


def test_lsdir_takes_all_without_a_threshold(tmp_path):
    patches(tmp_path, None, "--min-score", 0)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 3


def test_lsdir_without_scores_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    assert patches(tmp_path, None)[1] == 2
    assert "pip install pyiqa" in capsys.readouterr().err
    with pytest.raises(ImportError):
        QAlign()


def test_what_pyiqa_prints_is_kept_off_stdout(monkeypatch, capsys):
    def create_metric(name, device=None):
        print(f"Loading pretrained model {name}")
        return lambda path: print("computing") or 3.5

    monkeypatch.setitem(sys.modules, "pyiqa", types.SimpleNamespace(create_metric=create_metric))
    assert QAlign()(Path("a.png")) == 3.5
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "Loading pretrained model qalign\ncomputing\n"


def test_lsdir_scores_once_and_drops_the_rejected(tmp_path, monkeypatch, capsys):
    """With a stand-in for pyiqa: only what was not scored yet is scored, and what was rejected is not cut again."""
    asked = []

    class Judge:
        def __init__(self, device=None):
            pass

        def __call__(self, path):
            asked.append(path.name)
            return 4.0 if path.name == "x_0_12.png" else 3.0

    monkeypatch.setattr("pmrf_blocks.commands.prepare.QAlign", Judge)
    patches(tmp_path, None)
    assert sorted(asked) == ["x_0_0.png", "x_0_12.png", "x_0_24.png"]
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.png")) == ["x_0_12.png"]
    assert read_scores(tmp_path / "out/scores.csv") == {"a/x_0_0.png": 3.0, "a/x_0_12.png": 4.0, "a/x_0_24.png": 3.0}
    patches(tmp_path, None)
    assert len(asked) == 3
    assert "0 written, 1 there already" in capsys.readouterr().out


def test_a_torn_line_of_scores_is_scored_again(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_bytes(b"a.png,3.5\r\nb.png,3.")
    drop_torn_line(path)
    assert read_scores(path) == {"a.png": 3.5}


def test_scores_files(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("name,score\na.png,3.5\n\nb.png,4\n")
    assert read_scores(path) == {"a.png": 3.5, "b.png": 4.0}
    path.write_text("a.png,3.5\nb.png,good\n")
    with pytest.raises(DataError, match=r"entry 2: 'b\.png' has no score, but 'good'"):
        read_scores(path)
    with pytest.raises(DataError, match="cannot read scores"):
        read_scores(tmp_path / "absent.json")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(DataError, match="not an object"):
        read_scores(tmp_path / "list.json")


def test_results_are_never_taken_for_sources(tmp_path, capsys):
    picture(tmp_path / "a.png")
    assert run("folder", tmp_path, "--output", tmp_path / "out") == 2
    assert "results would be taken for sources" in capsys.readouterr().err
    picture(tmp_path / "in/b.png", 32, 32)
    picture(tmp_path / "in/b.jpg", 32, 32)
    assert run("folder", tmp_path / "in", "--output", tmp_path / "out", "--size", 16) == 2
    assert "would both become" in capsys.readouterr().err
    assert run("folder", tmp_path / "absent", "--output", tmp_path / "out") == 2
    assert "no such folder" in capsys.readouterr().err


def test_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert size_of(tmp_path / "turned.jpg") == decode(tmp_path / "turned.jpg").size == (20, 30)


def test_work_is_done_in_order_and_not_far_ahead(tmp_path):
    paths = [tmp_path / str(number) for number in range(5)]
    done = list(prepare(paths, lambda path: Outcome(written=(path.name,))))
    assert [path for path, _ in done] == paths
    assert [outcome.written for _, outcome in done] == [(path.name,) for path in paths]


def test_lists_name_what_is_missing(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png\nb.png\n")
    with pytest.raises(DataError, match=r"2 images are listed in .*, 1 are not there, .*b\.png first"):
        find_images(tmp_path / "list.txt")
