"""Restoring the faces of a video, frame by frame, with what keeps them from flickering. Needs PyAV (extra `video`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.faces import Detector, FaceTracker, find_faces
from pmrf_blocks.images import ImageError, LoadedImage, shown, write_whole
from pmrf_blocks.restoration.photographs import MIN_CHANGE, FaceRestorer, restore_photograph

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg"})
WRITABLE_VIDEOS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
QUALITY = "16"  # x264's constant rate factor: hardly to be told from the frames
BT709, BT601, UNSPECIFIED = 1, 5, 2  # as H.273 numbers the matrices; 5 and 6 are the same numbers
HIGH_DYNAMIC_RANGE = {16: "PQ", 18: "HLG"}  # transfer functions, by H.273


class VideoError(ImageError):
    """A video that cannot be read, or not be written; the message is one line."""


@dataclass
class VideoReport:
    """How many frames were written, in how many of them a face was restored, and what was assumed or left out.

    Examples:
        >>> VideoReport(frames=250, restored=198).summary()
        '250 frames, faces restored in 198'
    """

    frames: int = 0
    restored: int = 0
    notes: list[str] = field(default_factory=list)

    def summary(self) -> str:
        return f"{self.frames} frames, faces restored in {self.restored}"


def restore_video(
    restorer: FaceRestorer,
    source: Path,
    target: Path,
    detector: Detector,
    *,
    min_face: float = 24,
    min_change: float = MIN_CHANGE,
    progress: Callable[[int, int | None], object] = lambda done, count: None,
    **options: Any,
) -> VideoReport:
    """Restore the faces of a video's frames, as restore_photograph() does; sound is copied, times of frames are kept.

    One seed serves all frames, and noise is drawn in the aligned frame of a face: a face that moves takes its noise
    along. FaceTracker keeps landmarks and decisions from trembling. Frames are written as H.264 in 4:2:0 with the
    colour matrix that they had, upright, with the last row or column repeated where a side is odd.

    Arguments:
        restorer, detector, min_face, min_change, options: as restore_photograph() takes them.
        source: a file that FFmpeg reads.
        target: .mp4, .mov or .mkv; written whole or not at all.
        progress: called as progress(frames done, frames in all or None) after each frame.

    Raises:
        VideoError: PyAV is missing, a file without frames, one that is damaged from its beginning, high dynamic range,
            a target that cannot hold what the source has. A file that breaks off gives the frames up to there.
        ValueError: as restore_photograph().

    Examples:
        >>> import av, numpy, tempfile
        >>> from pathlib import Path
        >>> class Nothing:  # a detector that finds no face
        ...     looks_again, smallest, largest = False, 1, 512
        ...     def __call__(self, image):
        ...         return []
        >>> pipeline = PosteriorMean(estimator=torch.nn.Identity(), size=32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     clip = Path(folder, "clip.mp4")
        ...     with av.open(str(clip), "w") as file:
        ...         stream = file.add_stream("libx264", rate=5)
        ...         stream.width = stream.height = 64
        ...         for level in (40, 90, 140):
        ...             picture = numpy.full((64, 64, 3), level, numpy.uint8)
        ...             file.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        ...         file.mux(stream.encode())
        ...     restore_video(pipeline, clip, clip.with_name("new.mp4"), Nothing()).summary()
        '3 frames, faces restored in 0'
    """
    av = pyav()
    kind = WRITABLE_VIDEOS.get(target.suffix.lower())
    if kind is None:
        raise VideoError(f"cannot write {target.suffix or shown(target)}; name a file in {', '.join(WRITABLE_VIDEOS)}")
    report, tracker = VideoReport(), FaceTracker()

    def restored(frame: Tensor) -> Tensor:
        faces = tracker(frame, find_faces(frame, detector, smallest=min_face))
        done = restore_photograph(
            restorer, LoadedImage(frame), detector, found=faces, min_face=min_face,
            min_change=lambda face: tracker.least_change(face, min_change), **options,
        )  # fmt: skip
        for face in done.faces:
            tracker.remember(face.face, face.restored)
        report.restored += any(face.restored for face in done.faces)
        return done.result.pixels

    def write(temporary: Path) -> None:
        try:
            with av.open(str(source)) as reader, av.open(str(temporary), "w", format=kind) as writer:
                _copy(av, reader, writer, restored, report, progress)
        except av.error.FFmpegError as error:
            raise VideoError(f"cannot be read or written as a video: {error.strerror or error}") from None
        if not report.frames:
            raise VideoError("has no frames")

    write_whole(target, write)
    return report


def pyav() -> Any:
    """The package av; VideoError with what to install where it is missing."""
    try:
        import av
    except ImportError:
        raise VideoError("videos need PyAV: pip install pmrf-blocks[video]") from None
    return av


def _copy(
    av: Any,
    reader: Any,
    writer: Any,
    restored: Callable[[Tensor], Tensor],
    report: VideoReport,
    progress: Callable[[int, int | None], object],
) -> None:
    """Every frame through `restored`, every packet of sound as it is."""
    if not reader.streams.video:
        raise VideoError("has no pictures in it")
    video = reader.streams.video[0]
    left = {stream.type for stream in reader.streams if stream is not video and stream.type != "audio"}
    if left:
        report.notes.append(f"left out: {', '.join(sorted(left))}")
    sound = {stream: writer.add_stream_from_template(stream) for stream in reader.streams.audio}
    writer.metadata.update(
        {name: value for name, value in reader.metadata.items() if name in ("title", "creation_time")}
    )
    count = video.frames or None
    encoder: Any = None
    early: list[Any] = []  # sound before the first frame: no packet may be written before all streams are known
    for kind, packet in _packets(av, reader, video, list(sound), report):
        if kind == "sound":
            packet.stream = sound[packet.stream]
            early.append(packet)
            if encoder is not None:
                writer.mux(early)
                early.clear()
            continue
        frame = packet
        if encoder is None:
            _refuse_high_dynamic_range(frame, report)
            pixels = restored(_upright(frame))
            encoder = _encoder(writer, video, frame, pixels)
        else:
            pixels = restored(_upright(frame))
        for made in encoder.encode(_frame(av, pixels, frame, report.frames, video)):
            writer.mux(made)
        report.frames += 1
        progress(report.frames, count)
    if encoder is not None:
        for made in encoder.encode():
            writer.mux(made)


def _packets(av: Any, reader: Any, video: Any, sound: list[Any], report: VideoReport) -> Iterator[tuple[str, Any]]:
    """('sound', packet) and ('picture', frame) in the order of the file, up to where it breaks off."""
    try:
        for packet in reader.demux(video, *sound):
            if packet.stream is not video:
                if packet.dts is not None:
                    yield "sound", packet
                continue
            for frame in packet.decode():
                yield "picture", frame
    except av.error.FFmpegError as error:
        if not report.frames:
            raise
        report.notes.append(f"breaks off after {report.frames} frames ({error.strerror or error})")


def _refuse_high_dynamic_range(frame: Any, report: VideoReport) -> None:
    if int(frame.color_trc) in HIGH_DYNAMIC_RANGE:
        name = HIGH_DYNAMIC_RANGE[int(frame.color_trc)]
        raise VideoError(f"is in high dynamic range ({name}), which is not restored: bring it to SDR first")
    if max(component.bits for component in frame.format.components) > 8:
        report.notes.append("more than 8 bits a channel come out as 8")


def _matrix(frame: Any) -> int:
    """The numbers by which the frame's colours were made, or are usually made at its size."""
    matrix = int(frame.colorspace)
    return (BT709 if frame.height >= 720 else BT601) if matrix == UNSPECIFIED else matrix


def _upright(frame: Any) -> Tensor:
    """(3, H, W) in [0, 1]."""
    rgb = frame.reformat(format="rgb24", src_colorspace=_matrix(frame)).to_ndarray()
    turned = np.rot90(rgb, round(frame.rotation / 90) % 4)
    return torch.from_numpy(np.ascontiguousarray(turned)).permute(2, 0, 1).float().div(255)


def _encoder(writer: Any, video: Any, frame: Any, pixels: Tensor) -> Any:
    rate = video.average_rate or video.guessed_rate or Fraction(25)
    encoder = writer.add_stream("libx264", rate=rate, options={"crf": QUALITY, "preset": "medium"})
    height, width = (side + side % 2 for side in pixels.shape[-2:])
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    context = encoder.codec_context
    context.time_base = video.time_base or 1 / rate
    turned = round(frame.rotation / 90) % 2
    ratio = video.sample_aspect_ratio
    if ratio:
        context.sample_aspect_ratio = 1 / ratio if turned else ratio
    context.colorspace, context.color_primaries = int(frame.colorspace), int(frame.color_primaries)
    context.color_trc = int(frame.color_trc)
    return encoder


def _frame(av: Any, pixels: Tensor, source: Any, number: int, video: Any) -> Any:
    """A frame with the time of `source`."""
    height, width = pixels.shape[-2:]
    even = (
        F.pad(pixels[None], (0, width % 2, 0, height % 2), mode="replicate")[0] if height % 2 or width % 2 else pixels
    )
    rgb = even.mul(255).round().byte().permute(1, 2, 0).contiguous().numpy()
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    frame = frame.reformat(format="yuv420p", dst_colorspace=_matrix(source))
    base = video.time_base or 1 / (video.average_rate or Fraction(25))
    rate = video.average_rate or Fraction(25)
    frame.time_base = base
    frame.pts = round(number / rate / base) if source.pts is None else source.pts
    return frame
