"""Images in tar files are those of the folder that was packed, in any process and at any address."""

import io
import pickle
import tarfile

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

from pmrf_blocks.data import DataError, EndlessBatches, ImageDataset, SampleKey, TarImages, find_images


@pytest.fixture
def packed(tmp_path):
    """(folder of five images, two tars that hold them, with captions between)."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    tars = []
    for shard, numbers in enumerate(((0, 1, 2), (3, 4))):
        tars.append(tmp_path / f"shard-{shard:06}.tar")
        with tarfile.open(tars[-1], "w") as archive:
            for number in numbers:
                path = folder / f"{number}.{'png' if number % 2 else 'jpg'}"
                Image.fromarray(rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)).save(path)
                archive.add(path, path.name)
                caption = tarfile.TarInfo(f"{number}.txt")
                caption.size = 5
                archive.addfile(caption, io.BytesIO(b"a cat"))
    return folder, tars


def test_equal_to_the_folder(packed):
    folder, tars = packed
    files = ImageDataset(find_images(folder), size=32, crop=24, flip=True)
    inside = TarImages(tars, size=32, crop=24, flip=True)
    assert len(inside) == 5
    for index in range(5):
        assert torch.equal(inside[SampleKey(index, 9)], files[SampleKey(index, 9)])
    assert inside.problems(range(5)) == []
    assert inside.where.startswith("2 tar files from ")


def test_batches_and_their_resumption_are_those_of_a_folder(packed):
    folder, tars = packed

    def batches(dataset, start, count):
        sampler = EndlessBatches(len(dataset), 2, seed=3, start=start)
        loader = iter(torch.utils.data.DataLoader(dataset, batch_sampler=sampler, num_workers=2))
        return [next(loader) for _ in range(count)]

    whole = batches(ImageDataset(find_images(folder), size=32, crop=24, flip=True), 0, 5)
    resumed = batches(TarImages(tars, size=32, crop=24, flip=True), 3, 2)
    assert all(torch.equal(a, b) for a, b in zip(whole[3:], resumed))


def test_an_address_is_read_in_ranges(packed):
    _, tars = packed
    system = fsspec.filesystem("memory")
    system.pipe_file("/shards/0.tar", tars[0].read_bytes())
    far, near = TarImages(["memory://shards/0.tar"]), TarImages(tars[:1])
    assert all(torch.equal(far[index], near[index]) for index in range(3))
    assert far.problems(range(3)) == []
    assert torch.equal(pickle.loads(pickle.dumps(far))[1], near[1])


def test_the_index_is_kept_until_the_tar_changes(packed, tmp_path, monkeypatch):
    _, tars = packed
    first = TarImages(tars, index=tmp_path / "index")
    scanned = []
    own = tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda *a, **k: scanned.append(1) or own(*a, **k))
    assert TarImages(tars, index=tmp_path / "index").places == first.places
    assert not scanned
    with own(tars[1], "w") as archive:
        archive.add(first.paths[0].parents[1] / "images/0.jpg", "new.jpg")
    assert [member.name for _, member in TarImages(tars, index=tmp_path / "index").places][-1] == "new.jpg"
    assert len(scanned) == 1


def test_bad_tars_are_named(packed, tmp_path):
    _, tars = packed
    with pytest.raises(DataError, match=r"cannot find .*absent\.tar"):
        TarImages([tmp_path / "absent.tar"])
    with tarfile.open(tmp_path / "small.tar.gz", "w:gz") as archive:
        archive.add(tars[0], "x.jpg")
    with pytest.raises(DataError, match="compressed ones must be unpacked"):
        TarImages([tmp_path / "small.tar.gz"])
    (tmp_path / "cut.tar").write_bytes(tars[0].read_bytes()[:1000])
    with pytest.raises(DataError, match=r"cut\.tar"):
        TarImages([tmp_path / "cut.tar"])
    with tarfile.open(tmp_path / "text.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())
    with pytest.raises(DataError, match="0 images among the 1 files"):
        TarImages([tmp_path / "text.tar"])
    with pytest.raises(DataError, match="0 tar files"):
        TarImages([])


def test_bad_images_inside_are_found_before_the_first_step(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        bad = tarfile.TarInfo("bad.png")
        bad.size = 4
        archive.addfile(bad, io.BytesIO(b"none"))
        small = io.BytesIO()
        Image.new("RGB", (8, 8)).save(small, "PNG")
        entry = tarfile.TarInfo("small.png")
        entry.size = len(small.getvalue())
        archive.addfile(entry, io.BytesIO(small.getvalue()))
    problems = {path.name: reason for path, reason in TarImages([tmp_path / "x.tar"], crop=16).problems([0, 1])}
    assert problems["bad.png"].startswith("cannot be read")
    assert problems["small.png"] == "is 8x8, smaller than the crop of 16"


def test_hidden_files_inside_are_no_pictures(packed, tmp_path):
    folder, _ = packed
    with tarfile.open(tmp_path / "mac.tar", "w") as archive:
        for name in ("._0.jpg", "0.jpg", ".thumbnails/0.jpg", "@eaDir/0.jpg", "./1.jpg"):
            archive.add(folder / "0.jpg", name)
    assert [path.name for path in TarImages([tmp_path / "mac.tar"]).paths] == ["0.jpg", "1.jpg"]


def test_a_file_that_breaks_in_a_worker_process_is_named(packed):
    folder, _ = packed
    (folder / "5.jpg").write_bytes((folder / "0.jpg").read_bytes()[:-300])
    dataset = ImageDataset(find_images(folder), size=32, crop=24)
    assert dataset.problems(range(6)) == []  # its head is whole
    loader = torch.utils.data.DataLoader(dataset, batch_sampler=[[5]], num_workers=1)
    with pytest.raises(DataError, match=r"cannot read .*5\.jpg: damaged: image file is truncated"):
        next(iter(loader))
