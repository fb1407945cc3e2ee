"""The paper's metrics in tables are those of `evaluate`, to the bit; what is asked for, told and left out."""

import sys
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from pmrf_blocks.analysis.further import FURTHER, PAPERS, FurtherScores, columns, notes
from pmrf_blocks.analysis.measurement import SCORES, Measurement, Reference
from pmrf_blocks.metrics import METRICS, Evaluator, Protocol
from pmrf_blocks.metrics.registry import EXTRACTORS, Extractor
from pmrf_blocks.metrics.weights import Unavailable

FILES = {"inception": "a.pth", "dinov2": "b.pth", "arcface": "c.pth", "lpips": "d.pth"}


def pooled(side):
    return lambda images: torch.nn.functional.adaptive_avg_pool2d(images, side).flatten(1)


def corners(images):
    """Two points a face."""
    return images[:, :2, :2, 0].double() * 100.0


@pytest.fixture
def at_hand(monkeypatch):
    """Networks of every kind, made up, where their file is given; dlib's without; pyiqa without its own weights."""

    def build(name, run):
        def builder(weights, device):
            if name not in weights:
                raise Unavailable(f"give the file of {name}")
            return Extractor(f"{name}, weights {weights[name]}", run)

        monkeypatch.setitem(EXTRACTORS, name, builder)

    for name, run in (("inception", pooled(2)), ("dinov2", pooled(3)), ("arcface", pooled(4)), ("awing", corners)):
        build(name, run)
    for name, run in (("dlib_embedding", pooled(4)), ("dlib_landmarks", corners)):
        monkeypatch.setitem(EXTRACTORS, name, lambda weights, device, n=name, r=run: Extractor(n, r))

    def create_metric(name, *, device, pretrained_model_path=None):
        if pretrained_model_path is None:
            raise OSError("no network")
        return lambda x, y: (x - y).abs().mean()

    monkeypatch.setitem(sys.modules, "pyiqa", SimpleNamespace(create_metric=create_metric, __version__="0.0"))


@pytest.fixture
def files(tmp_path):
    """Weight files of made-up networks, by name."""
    for name in FILES.values():
        (tmp_path / name).write_bytes(name.encode())
    return {name: str(tmp_path / file) for name, file in FILES.items()}


@pytest.fixture
def faces(generator):
    """(originals (3, ...), restored (6, ...)): two degradations of each, values between those of 8 bits."""
    clean = (torch.rand(3, 3, 168, 168, generator=generator) * 255.0).round() / 255.0
    return clean, (clean.repeat(2, 1, 1, 1) + 0.1 * torch.randn(6, 3, 168, 168, generator=generator)).clamp(0, 1)


def save(images, folder):
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray((image * 255.0).round().byte().permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
    return folder


def test_tables_have_the_numbers_of_evaluate(at_hand, files, faces, tmp_path):
    clean, images = faces
    further = FurtherScores(clean, metrics=("ms_ssim",), weights=files)
    assert set(further.names) == {"ms_ssim", "lpips", "deg", "fid", "fd_dinov2", "mmd_dinov2"}
    own = Reference(clean, pooled(1), further).measure(zip(images.split(2), clean.repeat(2, 1, 1, 1).split(2)))
    reference = save(clean, tmp_path / "clean")
    evaluator = Evaluator(Protocol("plain", tuple(further.names)), reference=reference, weights=files)
    theirs = [evaluator.evaluate(save(part, tmp_path / str(number))) for number, part in enumerate(images.split(3))]
    for name in further.names:
        expected = [each.scores[name].value for each in theirs]
        assert own.scores[name] == pytest.approx(sum(expected) / 2, rel=1e-6), name
        if METRICS[name].compares != "distribution":
            values = [each.per_image[name] for each in theirs]
            torch.testing.assert_close(own.per_image[name], torch.tensor(values, dtype=torch.float64))
    assert own.scores.keys() == {*SCORES, *further.names}
    own.save(tmp_path / "own.json")
    again = Measurement.load(tmp_path / "own.json")
    assert further.has(again)
    assert again.measured_by["dinov2"] == f"dinov2, weights {files['dinov2']}"
    assert not FurtherScores(clean, weights={"dinov2": "other.pth"}).has(again)  # another network's number
    assert not FurtherScores(clean, weights={**files, "awing": "e.pth"}).has(again)


def test_the_papers_are_asked_for_and_stand_ins_where_they_lack(at_hand, files, faces):
    clean, images = faces
    arcface = {"arcface": files["arcface"]}
    further = FurtherScores(clean, weights=arcface, papers=True)
    assert set(further.names) == {"ms_ssim", "deg", "lmd_dlib"}  # not deg_dlib, as deg is there
    assert further.unavailable.keys() == {*PAPERS} - {"ms_ssim", "deg"}
    assert set(FurtherScores(clean, papers=True).names) == {"ms_ssim", "deg_dlib", "lmd_dlib"}
    assert set(FurtherScores(clean, metrics=("deg_dlib",), weights=arcface).names) == {"deg", "deg_dlib"}
    assert not FurtherScores(clean).names
    own = Reference(clean, pooled(1), further).measure(zip(images.split(2), clean.repeat(2, 1, 1, 1).split(2)))
    assert [*columns([own.scores])] == [*SCORES, "ms_ssim", "deg", "lmd_dlib"]
    text = "\n".join(notes(further))
    assert "- LMD-dlib*: a stand-in for LMD (98 points of AWing), to be compared within this page only; dlib_" in text
    assert f"- Deg: arcface, weights {files['arcface']}." in text
    assert "- Not measured: FD-DINOv2, MMD-DINOv2: give the file of dinov2." in text
    assert "Q-Align: pyiqa could not build qalign (OSError: no network)" in text
    assert columns([]) == {}
    assert len(notes(None)) == len(notes(FurtherScores(clean))) == 1


def test_every_stand_in_has_a_star():
    assert all(score.label.endswith("*") == bool(METRICS[name].stand_in) for name, score in FURTHER.items())
    assert {name for name, score in SCORES.items() if score.label.endswith("*")} == {"feature_distance", "fd", "mmd"}
    assert {*PAPERS} < {*FURTHER}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"metrics": ("fidelity",)}, "must be among .*fid, .*got 'fidelity'"),
        ({"metrics": ("dinov2",)}, "got 'dinov2'"),
        ({"weights": {"dino": "x"}}, "got 'dino'"),
        ({"metrics": ("musiq",)}, r"MUSIQ cannot be measured: pyiqa could not build musiq \(OSError: no network\)"),
        ({"metrics": ("fid",)}, "FID cannot be measured: give the file of inception"),
    ],
)
def test_what_must_be_measured_and_cannot_is_an_error(at_hand, faces, arguments, why):
    with pytest.raises(ValueError, match=why):
        FurtherScores(faces[0], **arguments)


def test_small_images_leave_ms_ssim_out(at_hand, faces):
    further = FurtherScores(faces[0][..., :64, :64], papers=True)
    assert further.unavailable["ms_ssim"] == "needs images of more than 160 pixels a side; the smallest here has 64"
