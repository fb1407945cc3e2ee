"""Files from elsewhere, and the project's own after an accident: read right, or refused in one line, within bounds."""

import io
import json
import os
import random
import resource
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from pmrf_blocks.commands.prepare import begin
from pmrf_blocks.data import DataError, TarImages
from pmrf_blocks.estimators import SwinIR, load_swinir_weights
from pmrf_blocks.metrics.frechet import Moments
from pmrf_blocks.metrics.statistics import Statistics
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import PMRF
from pmrf_blocks.transformers import HourglassTransformer, Level, load_k_diffusion_weights

ROUNDS = 200


def damaged(data, rng):
    """A file after an accident: bytes changed, cut off, repeated, or filled in."""
    data = bytearray(data)
    how = rng.random()
    if how < 0.5:
        for _ in range(rng.choice([1, 3, 20])):
            data[rng.randrange(len(data))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    elif how < 0.75:
        del data[rng.randrange(len(data)) :]
    elif how < 0.9:
        start = rng.randrange(len(data))
        data[start : start + rng.choice([1, 16, 512])] = rng.choice([b"", b"\0" * 512, b"\xff" * 8, b"9" * 12])
    else:
        start = rng.randrange(len(data))
        data[start:start] = data[max(0, start - 512) : start]
    return bytes(data)


def fuzz(path, data, read, error):
    """How many of the damaged files were refused; anything but `error` in one line fails, and so does much memory."""
    rng, refused = random.Random(0), []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(ROUNDS):
        path.write_bytes(damaged(data, rng))
        try:
            read(path)
        except error as reason:
            refused.append(str(reason))
    assert not [reason for reason in refused if "\n" in reason or len(reason) > 1000 or path.stem not in reason]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024  # KiB
    return len(refused)


@pytest.fixture
def statistics(tmp_path):
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    moments = Moments.from_covariance(6, features.mean(0), features.T.cov())
    return Statistics("name", "protocol", moments, features).save(tmp_path / "statistics.npz")


def test_statistics(statistics):
    whole = statistics.read_bytes()
    assert fuzz(statistics, whole, Statistics.load, ValueError) > ROUNDS // 2
    statistics.write_bytes(whole)
    assert Statistics.load(statistics).moments.count == 6


def npy(header, data=b""):
    text = repr(header).encode()
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mean", npy({"descr": "<f8", "fortran_order": False, "shape": (10**10,)}, b"\0" * 32)),
        ("mean", npy({"descr": "|O", "fortran_order": False, "shape": (1,)}, b"cos\nsystem\n")),
        ("mean", npy({"descr": "<f8", "fortran_order": False, "shape": (-4,)}, b"\0" * 32)),
        ("mean", npy({"descr": "<U9", "fortran_order": False, "shape": (4,)}, b"\0" * 144)),
        ("count", npy({"descr": "<f8", "fortran_order": False, "shape": ()}, np.float64("nan").tobytes())),
        ("version", npy({"descr": "<i8", "fortran_order": False, "shape": (2,)}, b"\0" * 16)),
        ("covariance", b""),
        ("covariance", b"\0" * 100),
    ],
)
def test_arrays_that_are_not_what_they_say(statistics, name, content):
    with zipfile.ZipFile(statistics) as archive:
        arrays = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(statistics, "w") as archive:
        for entry, data in {**arrays, f"{name}.npy": content}.items():
            archive.writestr(entry, data)
    with pytest.raises(ValueError, match="does not hold reference statistics") as error:
        Statistics.load(statistics)
    assert "\n" not in str(error.value)


def test_a_bomb_of_zeros_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        header = npy({"descr": "<f8", "fortran_order": False, "shape": (2**22,)})
        archive.writestr("mean.npy", header + bytes(2**25))
    with pytest.raises(ValueError, match=r"mean\.npy declares 33554560 bytes in \d+"):
        Statistics.load(tmp_path / "bomb.npz")


def picture(value):
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def tar(*names, kind=tarfile.REGTYPE, **options):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as archive:
        for number, name in enumerate(names):
            entry, data = tarfile.TarInfo(name), picture(number)
            entry.size, entry.type = len(data), kind
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


@pytest.mark.parametrize("layout", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_tars(tmp_path, layout):
    names = [f"{number}.png" for number in range(4)] + ["a" * 90 + ".png"]
    if layout != tarfile.USTAR_FORMAT:
        names.append("b" * 150 + ".png")

    def read(path):
        images = TarImages([path])
        assert 0 < len(images) <= len(names) + 1
        for number in range(len(images)):
            images[number]

    assert fuzz(tmp_path / "set.tar", tar(*names, format=layout), read, DataError) > ROUNDS // 4


def test_a_damaged_header_hides_no_files(tmp_path):
    """tarfile alone takes what is before it for the whole."""
    whole = tar("0.png", "1.png", "2.png")
    second = whole.index(b"1.png")
    (tmp_path / "set.tar").write_bytes(whole[:second] + b"\xff" * 200 + whole[second + 200 :])
    with pytest.raises(DataError, match=r"set\.tar is damaged after 1 files"):
        TarImages([tmp_path / "set.tar"])
    (tmp_path / "set.tar").write_bytes(whole[: second + 100])
    with pytest.raises(DataError, match=r"set\.tar is (damaged|cut)"):
        TarImages([tmp_path / "set.tar"])


def test_sparse_members_are_refused(tmp_path):
    (tmp_path / "set.tar").write_bytes(tar("0.png", kind=tarfile.GNUTYPE_SPARSE, format=tarfile.GNU_FORMAT))
    with pytest.raises(DataError, match=r"set\.tar"):
        TarImages([tmp_path / "set.tar"])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "[" * 10**5, '{"state": [1, 2], "members": 3}', '{"state": STATE, "members": [[1, 2]]}',
             '{"state": STATE, "members": [["0.png", 0, 99999999]]}', '{"state": STATE, "members": [["0", -5, 3]]}'],
)  # fmt: skip
def test_a_damaged_index_is_made_again(tmp_path, text):
    path = tmp_path / "set.tar"
    path.write_bytes(tar("0.png", "1.png"))
    TarImages([path], index=tmp_path / "index")
    (index,) = (tmp_path / "index").iterdir()
    whole = index.read_bytes()
    state = os.stat(path)
    index.write_text(text.replace("STATE", f"[{state.st_size}, {state.st_mtime_ns}]"))
    assert len(TarImages([path], index=tmp_path / "index")) == 2
    assert index.read_bytes() == whole


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": NaN}', "\ud800"])
def test_a_damaged_note_of_prepare_is_one_line(tmp_path, text):
    (tmp_path / "prepare.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(DataError, match=r"prepare\.json is damaged: .*$"):
        begin(tmp_path, {"set": "folder"})


def test_what_killed_processes_left_is_removed(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/.0123456789abcdef.tmp").write_bytes(b"half")
    begin(tmp_path, {"set": "folder"})
    assert json.loads((tmp_path / "prepare.json").read_text()) == {"set": "folder"}
    assert not list((tmp_path / "images").iterdir())


def swinir():
    return SwinIR(embed_dim=16, depths=(2,), num_heads=(2,), window_size=4, unshuffle=2)


def velocity():
    return HourglassTransformer(patch_size=4, levels=(Level(32, 1, head_dim=16),) * 2, mapping_width=32)


LOADERS = {
    "swinir": lambda path: load_swinir_weights(swinir(), path),
    "k-diffusion": lambda path: load_k_diffusion_weights(velocity(), path),
    "PMRF": PMRF.from_published,
}
WEIGHT = torch.zeros(3)
CONTENTS = [
    {}, [], 3, "text", {1: WEIGHT}, {("a", 1): WEIGHT}, {"state_dict": 3}, {"state_dict": {1: WEIGHT}},
    {"state_dict": {"model.conv_last.weight": WEIGHT}, "ema": {"shadow_params": [WEIGHT]}},
    {"state_dict": {"mmse_model.x": WEIGHT}, "hyper_parameters": {"stage": ["flow"], "arch": []}},
    {"state_dict": {"mmse_model.x": WEIGHT}, "hyper_parameters": {"arch": {}, "mmse_noise_std": "x"}},
    {"state_dict": {"mmse_model.x": WEIGHT}, "hyper_parameters": {"mmse_noise_std": float("nan")}},
    {"state_dict": {"mmse_model.x": WEIGHT}, "hyper_parameters": 3},
    {"params_ema": {"a\nb": WEIGHT}}, {"conv_last.weight": WEIGHT.expand(3)}, {"conv_last.weight": 3},
    {"conv_last.weight": torch.zeros(1).expand(2**40)},
]  # fmt: skip


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_foreign_checkpoints(tmp_path, loader, content):
    torch.save(content, tmp_path / "weights.ckpt")
    with pytest.raises(WeightsError, match="weights") as error:
        LOADERS[loader](tmp_path / "weights.ckpt")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 3000


@pytest.mark.parametrize("loader", LOADERS)
def test_damaged_checkpoints(tmp_path, loader):
    file = io.BytesIO()
    torch.save(swinir().state_dict(), file)
    rng = random.Random(0)
    for data in [b"", b"\0" * 100, *(damaged(file.getvalue(), rng) for _ in range(20))]:
        (tmp_path / "weights.pth").write_bytes(data)
        try:
            LOADERS[loader](tmp_path / "weights.pth")
        except WeightsError as error:
            reason = str(error)
        else:
            reason = ""
        assert "\n" not in reason
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(WeightsError, match="is not a file"):
        load_swinir_weights(swinir(), tmp_path / "pipe.pth")
