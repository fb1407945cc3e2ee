"""pmrf-blocks restore on videos: where results go, lines, refusals. No weights, no network."""

import re
import sys

import pytest
from PIL import Image
from told_faces import Brighter, Told, blurred

from pmrf_blocks.cli import main
from pmrf_blocks.commands import restore as restore_command

av = pytest.importorskip("av", reason="PyAV is not installed")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A clip, the same in a container that is not written, and a picture; a model that brightens one face."""
    monkeypatch.setattr(restore_command, "load_restorer", lambda model, **options: Brighter(0.3))
    monkeypatch.setattr(restore_command, "build_detector", lambda name: Told((40, 40, 40)))
    monkeypatch.chdir(tmp_path)
    pixels = blurred(80, 96)
    for name in ("clip.mp4", "old.avi"):
        with av.open(name, "w") as out:
            stream = out.add_stream("mpeg4", rate=10)
            stream.height, stream.width, stream.pix_fmt = 80, 96, "yuv420p"
            for _ in range(2):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            out.mux(stream.encode())
    Image.fromarray(pixels).save("picture.png")
    return tmp_path


def frames(path):
    with av.open(str(path)) as clip:
        return sum(1 for _ in clip.decode(video=0))


def test_a_video_to_a_file(folder, capsys):
    assert main(["restore", "clip.mp4", "-o", "new.mkv"]) == 0
    captured = capsys.readouterr()
    assert re.fullmatch(r"\[1/1\] clip\.mp4: 2 frames, faces restored in 2, \d+\.\d s\n", captured.out)
    assert "2/2" in captured.err
    assert frames("new.mkv") == 2
    assert main(["restore", "clip.mp4", "-o", "new.mkv"]) == 2
    assert "new.mkv exists (--overwrite replaces it)" in capsys.readouterr().err


def test_videos_and_pictures_to_a_folder(folder, capsys):
    assert main(["restore", "clip.mp4", "picture.png", "old.avi"]) == 0
    assert {path.name for path in (folder / "restored").iterdir()} >= {"clip.mp4", "old.mp4", "picture.png"}
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_one_bad_video_costs_one_line(folder, capsys):
    (folder / "bad.mp4").write_text("no video")
    assert main(["restore", "bad.mp4", "clip.mp4"]) == 1
    captured = capsys.readouterr()
    assert "skipped bad.mp4: cannot be read or written as a video" in captured.err
    assert frames("restored/clip.mp4") == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["clip.mp4", "--aligned"], "--aligned is for pictures"),
        (["clip.mp4", "--report", "r.json"], "--report is for pictures"),
        (["clip.mp4", "picture.png", "-o", "new.mp4"], "names one video, but there is more"),
        (["clip.mp4", "-o", "new.webm"], "cannot write .webm"),
        (["clip.mp4", "-o", "clip.mp4", "--overwrite"], "would replace another video"),
        (["none.mp4"], "no such file or folder: none.mp4"),
    ],
)
def test_refusals(folder, capsys, arguments, reason):
    assert main(["restore", *arguments]) == 2
    assert reason in capsys.readouterr().err
    assert frames("clip.mp4") == 2


def test_without_pyav_one_line_says_what_to_install(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert main(["restore", "clip.mp4"]) == 1
    assert "skipped clip.mp4: videos need PyAV: pip install pmrf-blocks[video]" in capsys.readouterr().err
