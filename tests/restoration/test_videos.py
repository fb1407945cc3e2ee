"""restore_video(): frames, times, sound and colours kept; faces that do not flicker; bad files."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from told_faces import Brighter, Told

from pmrf_blocks.faces import Face, FaceTracker
from pmrf_blocks.faces.yunet import TEMPLATE
from pmrf_blocks.restoration import load_restorer, restore_video
from pmrf_blocks.restoration.videos import VideoError, _frame

av = pytest.importorskip("av", reason="PyAV is not installed")


def picture(height=96, width=128, shift=0):
    """Smooth, uint8 (H, W, 3)."""
    y, x = np.mgrid[0:height, 0:width] / 30
    return (np.stack([np.sin(x + y + shift), np.cos(x - y), np.sin(2 * x)], -1) * 90 + 128).round().astype(np.uint8)


def write_clip(path, frames, *, times=None, sound=False, rate=25, codec="libx264", pix_fmt="yuv420p"):
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=rate, options={"crf": "10"})
        video.height, video.width, video.pix_fmt = *frames[0].shape[:2], pix_fmt
        audio = out.add_stream("aac", rate=44100) if sound else None
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number if times is None else times[number], Fraction(1, rate)
            for packet in video.encode(frame):
                out.mux(packet)
        for packet in video.encode():
            out.mux(packet)
        if audio is not None:
            wave = np.sin(np.arange(44100 // 5) / 20).astype(np.float32)[None]
            tone = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            tone.sample_rate, tone.pts = 44100, 0
            for packet in [*audio.encode(tone), *audio.encode()]:
                out.mux(packet)
    return path


def read_clip(path):
    with av.open(str(path)) as clip:
        frames = [(frame.to_ndarray(format="rgb24"), float(frame.time)) for frame in clip.decode(video=0)]
    return np.stack([pixels for pixels, _ in frames]), [time for _, time in frames]


def packets_of_sound(path):
    with av.open(str(path)) as clip:
        return [bytes(packet) for packet in clip.demux(audio=0) if packet.dts is not None]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_an_identity_restorer_keeps_frames_times_and_sound(tmp_path, suffix):
    times = [0, 1, 2, 5, 6, 11]  # of a variable frame rate
    source = write_clip(tmp_path / "a.mp4", [picture(shift=n) for n in range(6)], times=times, sound=True)
    seen = []
    report = restore_video(Brighter(0), source, tmp_path / f"b{suffix}", Told((64, 48, 40)), min_change=0,
                           progress=lambda *state: seen.append(state))  # fmt: skip
    assert (report.frames, report.restored, report.notes) == (6, 6, [])
    assert seen == [(n, 6) for n in range(1, 7)]
    (before, when), (after, then) = read_clip(source), read_clip(tmp_path / f"b{suffix}")
    # Matroska counts from the sound's first sample, which AAC puts before 0: all moves together.
    assert np.diff(then) == pytest.approx(np.diff(when), abs=2e-3)
    assert np.abs(after.astype(float) - before).mean() < 2.0  # one more compression
    assert packets_of_sound(tmp_path / f"b{suffix}") == packets_of_sound(source)


def test_faces_are_restored_and_nothing_else(tmp_path):
    source = write_clip(tmp_path / "a.mp4", [picture()] * 3)
    restore_video(Brighter(0.4), source, tmp_path / "b.mp4", Told((40, 48, 40)), min_change=0)
    (before, _), (after, _) = read_clip(source), read_clip(tmp_path / "b.mp4")
    difference = np.abs(after.astype(float) - before)
    assert difference[:, 30:66, 22:58].mean() > 8
    assert difference[:, :, 90:].mean() < 2.0


def test_odd_sides_and_one_frame(tmp_path):
    frame = picture(47, 61)
    source = write_clip(tmp_path / "a.mkv", [frame], codec="ffv1", pix_fmt="bgr0")
    restore_video(Brighter(0), source, tmp_path / "b.mp4", Told())
    pixels, _ = read_clip(tmp_path / "b.mp4")
    assert pixels.shape == (1, 48, 62, 3)
    assert np.abs(pixels[0, :47, :61].astype(float) - frame).mean() < 2.5


def test_ten_bits_are_told_of(tmp_path):
    source = write_clip(tmp_path / "a.mkv", [picture()], codec="ffv1", pix_fmt="yuv420p10le")
    report = restore_video(Brighter(0), source, tmp_path / "b.mp4", Told())
    assert report.notes == ["more than 8 bits a channel come out as 8"]


def test_colours_survive_either_matrix():
    """Back and forth by the numbers of the frame itself, tagged or not: within rounding of 4:2:0."""
    pixels = torch.from_numpy(picture(64, 64)).permute(2, 0, 1).float() / 255
    for matrix in (1, 2, 5, 6):
        given = av.VideoFrame(64, 64, "yuv420p")
        given.colorspace = matrix
        stream = type("Stream", (), {"time_base": Fraction(1, 25), "average_rate": Fraction(25)})
        made = _frame(av, pixels, given, 0, stream)
        back = made.reformat(format="rgb24", src_colorspace=1 if matrix == 1 else 5).to_ndarray()
        assert np.abs(back.astype(float) - picture(64, 64)).mean() < 2.0


def test_bad_files_get_a_sentence_and_leave_nothing(tmp_path):
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.write_bytes(b"")
    text.write_text("no video")
    whole = write_clip(tmp_path / "a.mkv", [picture(shift=n) for n in range(30)], sound=True).read_bytes()
    with av.open(str(tmp_path / "sound.mp4"), "w") as out:
        audio = out.add_stream("aac", rate=44100)
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), format="fltp", layout="mono")
        tone.sample_rate = 44100
        for packet in [*audio.encode(tone), *audio.encode()]:
            out.mux(packet)
    target = tmp_path / "out" / "b.mp4"
    for path in (empty, text, tmp_path / "sound.mp4"):
        with pytest.raises(VideoError, match=r"video|pictures"):
            restore_video(Brighter(0), path, target, Told())
    with pytest.raises(VideoError, match=r"cannot write \.webm"):
        restore_video(Brighter(0), tmp_path / "a.mkv", tmp_path / "b.webm", Told())
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(whole[: len(whole) * 2 // 3])
    report = restore_video(Brighter(0), broken, target, Told())
    assert 0 < report.frames <= 30
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.mp4"]

    def interrupted(done, count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_video(Brighter(0), tmp_path / "a.mkv", tmp_path / "out" / "c.mp4", Told(), progress=interrupted)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.mp4"]


def face(x, y, side=40.0, jitter=0.0):
    landmarks = (torch.tensor(TEMPLATE) - 0.5) * side / 0.75 + torch.tensor([x, y]) + jitter
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    return Face(box, landmarks, torch.tensor(TEMPLATE), 0.9)


def test_landmarks_of_a_still_face_tremble_less_and_those_of_a_moving_one_follow():
    image, tracker = torch.rand(3, 96, 128), FaceTracker()
    noise = torch.randn(40, 5, 2, generator=torch.Generator().manual_seed(0)) * 0.4
    still = torch.stack([tracker(image, [face(60, 48, jitter=one)])[0].landmarks for one in noise])
    assert float(still[10:].std(0).mean()) < 0.5 * float(noise[10:].std(0).mean())
    tracker = FaceTracker()
    places = [30 + 6 * n for n in range(10)]
    moving = [tracker(image, [face(x, 48)])[0].landmarks.mean(0)[0] for x in places]
    expected = [face(x, 48).landmarks.mean(0)[0] for x in places]
    assert float((torch.stack(moving) - torch.stack(expected)).abs().max()) < 0.5


def test_a_missed_face_is_held_while_its_place_looks_the_same():
    image, tracker = torch.rand(3, 96, 128), FaceTracker()
    tracker(image, [face(60, 48)])
    assert [len(tracker(image, [])) for _ in range(5)] == [1, 1, 1, 0, 0]
    tracker(image, [face(60, 48)])
    assert tracker(1 - image, []) == []  # a cut


def test_a_restored_face_stays_restored_at_a_lower_threshold():
    image, tracker = torch.rand(3, 96, 128), FaceTracker()
    (now,) = tracker(image, [face(60, 48)])
    assert tracker.least_change(now, 1.0) == 1.0
    tracker.remember(now, True)
    (then,) = tracker(image, [face(60, 48)])
    assert tracker.least_change(then, 1.0) == pytest.approx(0.7)


def test_restored_faces_of_a_static_clip_flicker_no_more_than_its_frames(tmp_path):
    """The shipped model on a photograph with fresh noise in each frame, compressed, and landmarks that tremble."""
    still, generator = astronaut()[:256:2, 96:352:2], np.random.default_rng(0)
    noisy = [np.clip(still + generator.normal(0, 8, still.shape), 0, 255).astype(np.uint8) for _ in range(6)]
    source = write_clip(tmp_path / "a.mp4", noisy)
    trembling = torch.Generator().manual_seed(0)

    class Trembling(Told):
        def __call__(self, image):
            shift = torch.randn(5, 2, generator=trembling) * 0.5
            return [replace(face, landmarks=face.landmarks + shift) for face in super().__call__(image)]

    model = load_restorer("bundled", optimize=True)
    report = restore_video(model, source, tmp_path / "b.mp4", Trembling((64, 56, 50)), min_change=0, steps=1)
    assert report.restored == 6

    def flicker(path):
        return np.abs(np.diff(read_clip(path)[0].astype(float), axis=0))[:, 38:76, 46:82].mean()

    assert flicker(tmp_path / "b.mp4") < 0.8 * flicker(source)
