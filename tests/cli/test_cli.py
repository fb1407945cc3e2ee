"""The command line on good, odd and broken files, with a restorer that changes nothing."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pmrf_blocks.cli import main
from pmrf_blocks.commands import restore as restore_command
from pmrf_blocks.restoration import NonFiniteError, Restored


class Unchanged:
    """A restorer that gives its input back."""

    size, steps, device = 16, 2, torch.device("cpu")

    def restore(self, images, *, steps, progress, posterior_mean_only=False, **options):
        for step in range(0 if posterior_mean_only else steps):
            progress(step + 1, steps)
        return Restored(images, images, steps)


@pytest.fixture(autouse=True)
def unchanged(monkeypatch):
    monkeypatch.setattr(restore_command, "load_restorer", lambda model, **options: Unchanged())


def picture(height, width, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path, array, mode=None, **options):
    Image.fromarray(array).convert(mode or "RGB").save(path, **options)
    return path


def pixels(path):
    return np.asarray(Image.open(path))


def names(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def zoo(tmp_path):
    """A folder with everything that people keep in folders."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    save(folder / "good.png", picture(20, 30))
    whole = save(tmp_path / "whole.jpg", picture(64, 64)).read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("this is no picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "directory.jpg").mkdir()
    Image.fromarray((np.arange(400).reshape(20, 20) * 160).astype(np.uint16)).save(folder / "sixteen.png")
    Image.fromarray(picture(20, 24, 4)).save(folder / "rgba.png")
    Image.fromarray(picture(20, 20, 4)).convert("CMYK").save(folder / "cmyk.jpg")
    save(folder / "palette.png", picture(20, 20), "P")
    transparent = Image.fromarray(picture(20, 20)).convert("P")
    transparent.save(folder / "transparent_palette.png", transparency=3)
    save(folder / "grey.png", picture(20, 20), "L")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    save(folder / "turned.jpg", picture(20, 40), exif=exif, quality=100)
    save(folder / "pixel.png", picture(1, 1))
    save(folder / "unreadable.png", picture(20, 20)).chmod(0)
    (folder / "notes.txt").write_text("not asked for")
    return folder


def test_a_folder_of_everything(zoo, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["restore", "--aligned", str(zoo), "--output", str(out)]) == 1
    captured = capsys.readouterr()
    skipped = {line.split(":")[0].split("/")[-1]: line for line in captured.err.splitlines() if "skipped" in line}
    expected = {"truncated.jpg", "text.png", "empty.png", "directory.jpg"}
    restored = {
        "good.png", "sixteen.png", "rgba.png", "cmyk.jpg", "palette.png", "transparent_palette.png", "grey.png",
        "turned.jpg", "pixel.png",
    }  # fmt: skip
    (restored if os.geteuid() == 0 else expected).add("unreadable.png")  # root reads everything
    assert set(skipped) == expected
    assert "truncated" in skipped["truncated.jpg"]
    assert "the file is empty" in skipped["empty.png"]
    assert "is a directory" in skipped["directory.jpg"]
    assert "not an image" in skipped["text.png"]
    assert set(names(out)) == restored
    assert sorted(captured.out.split()) == sorted(str(out / name) for name in restored)
    assert np.array_equal(pixels(out / "good.png").shape, (20, 30, 3))
    assert pixels(out / "turned.jpg").shape == (40, 20, 3)
    assert not Image.open(out / "turned.jpg").getexif()
    assert pixels(out / "pixel.png").shape == (16, 16, 3)
    assert np.array_equal(pixels(out / "rgba.png")[..., 3], pixels(zoo / "rgba.png")[..., 3])
    assert pixels(out / "transparent_palette.png").shape == (20, 20, 4)
    grey = pixels(out / "sixteen.png")
    assert abs(grey.astype(int) / 257 - np.arange(400).reshape(20, 20) * 160 / 257).max() < 12  # resized there and back


def test_at_the_working_size_nothing_changes(tmp_path):
    array = picture(16, 24)
    save(tmp_path / "a.png", array)
    assert main(["restore", "--aligned", str(tmp_path / "a.png"), "--output", str(tmp_path / "b.png")]) == 0
    assert np.array_equal(pixels(tmp_path / "b.png"), array)


def test_a_large_photograph_keeps_its_size(tmp_path):
    Image.new("RGB", (6000, 4000), (10, 200, 30)).save(tmp_path / "large.jpg")
    assert main(["restore", "--aligned", str(tmp_path / "large.jpg"), "--output", str(tmp_path / "out")]) == 0
    assert Image.open(tmp_path / "out" / "large.jpg").size == (6000, 4000)


@pytest.mark.parametrize(("size", "expected"), [("input", (48, 32)), ("model", (24, 16)), ("8", (12, 8))])
def test_sizes(tmp_path, size, expected):
    save(tmp_path / "a.png", picture(32, 48))
    assert main(["restore", "--aligned", str(tmp_path / "a.png"), "--output", str(tmp_path / "o"), "--size", size]) == 0
    assert Image.open(tmp_path / "o" / "a.png").size == expected


def test_existing_results_are_kept(tmp_path, capsys):
    source = save(tmp_path / "a.png", picture(16, 16))
    out = tmp_path / "out"
    call = ["restore", "--aligned", str(source), "--output", str(out)]
    assert main(call) == 0
    save(out / "a.png", picture(16, 16, seed=1))
    before = (out / "a.png").read_bytes()
    assert main(call) == 1
    assert (out / "a.png").read_bytes() == before
    assert "exists (--overwrite replaces it)" in capsys.readouterr().err
    assert main([*call, "--overwrite"]) == 0
    assert (out / "a.png").read_bytes() != before


def test_the_input_is_never_replaced(tmp_path, capsys):
    source = save(tmp_path / "a.png", picture(16, 16))
    before = source.read_bytes()
    assert main(["restore", "--aligned", str(source), "--output", str(tmp_path), "--overwrite"]) == 1
    assert "would replace the input" in capsys.readouterr().err
    assert source.read_bytes() == before


def test_equal_names_do_not_replace_each_other(tmp_path, capsys):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "a.png", picture(16, 16))
    folders = [str(tmp_path / name) for name in ("one", "two")]
    assert main(["restore", "--aligned", *folders, "--output", str(tmp_path / "out"), "--overwrite"]) == 1
    assert "would have the name of that of" in capsys.readouterr().err


def test_compare_writes_a_second_picture(tmp_path):
    source = save(tmp_path / "a.png", picture(16, 16))
    assert main(["restore", "--aligned", str(source), "--output", str(tmp_path / "out"), "--compare"]) == 0
    assert names(tmp_path / "out") == ["a.png", "a_compare.png"]
    assert Image.open(tmp_path / "out" / "a_compare.png").width > 3 * 256


@pytest.mark.parametrize("batch", ["1", "3"])
def test_a_stage_that_breaks_stops_only_its_image(tmp_path, capsys, monkeypatch, batch):
    def breaks(self, images, **options):
        if float(images.mean((1, 2, 3)).max()) > 0.9:
            raise NonFiniteError("decode")
        return Restored(images, images, 0)

    monkeypatch.setattr(Unchanged, "restore", breaks)
    save(tmp_path / "a.png", picture(16, 16))
    Image.new("RGB", (16, 16), (255, 255, 255)).save(tmp_path / "b.png")
    save(tmp_path / "c.png", picture(16, 16))
    call = ["restore", "--aligned", str(tmp_path), "--output", str(tmp_path / "out"), "--batch", batch, "--compare"]
    assert main(call) == 1
    assert "b.png: non-finite values after the stage 'decode'" in capsys.readouterr().err
    assert names(tmp_path / "out") == ["a.png", "a_compare.png", "c.png", "c_compare.png"]


def test_photographs_of_one_working_size_share_a_batch(tmp_path, capsys, monkeypatch):
    counts = []

    def counted(self, images, *, progress, **options):
        counts.append(len(images))
        progress(1, 2)
        return Restored(images, images, 2)

    monkeypatch.setattr(Unchanged, "restore", counted)
    for i, shape in enumerate([(16, 16), (32, 32), (16, 16), (16, 16), (16, 24), (16, 200), (32, 48), (16, 16)]):
        save(tmp_path / f"{i}.png", picture(*shape, seed=i))
    (tmp_path / "1b.png").write_bytes(b"no picture")
    assert main(["restore", "--aligned", str(tmp_path), "--output", str(tmp_path / "out"), "--batch", "3"]) == 1
    assert counts == [3, 1, 2, 1]  # 0 to 2, 3, 4 and 6 (5 is no face crop), 7
    error = capsys.readouterr().err
    assert "1b.png" in error
    assert "200x16 is no face crop" in error
    assert "18/18" in error.replace(" ", "")  # steps: two a photograph, done or skipped
    for i in (0, 2, 3, 4, 7):
        assert np.array_equal(pixels(tmp_path / "out" / f"{i}.png"), pixels(tmp_path / f"{i}.png"))


def test_nothing_is_half_written(tmp_path, monkeypatch, capsys):
    source = save(tmp_path / "a.png", picture(16, 16))

    def full(self, path, *args, **options):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    assert main(["restore", "--aligned", str(source), "--output", str(tmp_path / "out")]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert names(tmp_path / "out") == []


def test_interruption_leaves_no_files(tmp_path, monkeypatch, capsys):
    source = save(tmp_path / "a.png", picture(16, 16))
    monkeypatch.setattr(Unchanged, "restore", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(["restore", "--aligned", str(source), "--output", str(tmp_path / "out")]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--solver", "rk9"], "solver must be one of 'euler', 'midpoint', 'heun', 'rk4', 'dopri5'; got 'rk9'"),
        (["--device", "abacus"], "device 'abacus' cannot be used"),
        (["--dtype", "int8"], "dtype must be one of 'auto', 'float32', 'bfloat16'; got 'int8'"),
        (["--source-noise", "-1"], "--source-noise must be at least 0"),
    ],
)
def test_bad_arguments(tmp_path, capsys, arguments, message):
    source = save(tmp_path / "a.png", picture(16, 16))
    assert main(["restore", "--aligned", str(source), "--output", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--steps", "0"], ["--size", "large"], ["--seed", "x"]])
def test_arguments_that_do_not_parse(tmp_path, arguments):
    with pytest.raises(SystemExit) as caught:
        main(["restore", "--aligned", str(tmp_path), "--output", str(tmp_path), *arguments])
    assert caught.value.code == 2


def test_missing_and_empty_inputs(tmp_path, capsys):
    assert main(["restore", "--aligned", str(tmp_path / "absent.png"), "--output", str(tmp_path / "o")]) == 2
    assert "no such file or folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["restore", "--aligned", str(tmp_path / "empty"), "--output", str(tmp_path / "o")]) == 2
    assert "no images in" in capsys.readouterr().err
    for name in ("a.png", "b.png"):
        save(tmp_path / name, picture(4, 4))
    assert main(["restore", "--aligned", str(tmp_path), "--output", str(tmp_path / "one.png")]) == 2
    assert "names one file, but there are 2 photographs" in capsys.readouterr().err


def test_degrade_depends_on_name_and_seed_alone(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "a.png", picture(40, 40))
    save(tmp_path / "two" / "0.png", picture(30, 30))
    for folder, seed in (("one", "0"), ("two", "0"), ("one", "1")):
        call = ["degrade", str(tmp_path / folder), "--output", str(tmp_path / f"{folder}{seed}"), "--seed", seed]
        assert main(call) == 0
    same = pixels(tmp_path / "one0" / "a.png")
    assert np.array_equal(same, pixels(tmp_path / "two0" / "a.png"))
    assert not np.array_equal(same, pixels(tmp_path / "one1" / "a.png"))
    assert same.shape == (40, 40, 3)


def test_unknown_pipelines_and_recipes_are_listed(tmp_path, capsys, monkeypatch):
    assert main(["degrade", str(tmp_path), "--output", "o", "--pipeline", "rain"]) == 2
    assert "pipeline must be one of 'blind-face'" in capsys.readouterr().err
    assert main(["train", "nothing"]) == 2
    assert "recipes here: accelerator, bundled" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main(["train", "bundled"]) == 2
    assert "run it in a checkout" in capsys.readouterr().err


def test_help_is_quick_and_imports_no_torch():
    script = "import sys; from pmrf_blocks.cli import main\ntry: main(['restore', '--help'])\nexcept SystemExit: pass\n"
    script += "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "examples:" in run.stdout
