"""The stream of training samples and the image folders they come from."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pmrf_blocks.data import DataError, EndlessBatches, ImageDataset, JoinedDataset, SampleKey, find_images
from pmrf_blocks.seeding import derive_seed


def take(count, **arguments):
    return list(islice(EndlessBatches(**arguments), count))


@given(length=st.integers(1, 20), batch=st.integers(1, 7), start=st.integers(0, 12))
def test_a_resumed_stream_goes_on_where_it_was(length, batch, start):
    whole = take(start + 3, length=length, batch_size=batch)
    assert take(3, length=length, batch_size=batch, start=start) == whole[start:]


@given(length=st.integers(1, 20), batch=st.integers(1, 4), world=st.integers(1, 3))
def test_processes_together_see_the_whole_batch(length, batch, world):
    whole = take(4, length=length, batch_size=batch * world)
    parts = [take(4, length=length, batch_size=batch, rank=rank, world_size=world) for rank in range(world)]
    assert whole == [[key for part in parts for key in part[i]] for i in range(4)]


@given(length=st.integers(1, 20))
def test_every_epoch_holds_every_image_once(length):
    keys = [key for batch in take(3 * length, length=length, batch_size=1) for key in batch]
    for epoch in range(3):
        assert sorted(key.image for key in keys[epoch * length : (epoch + 1) * length]) == list(range(length))
    assert len({key.seed for key in keys}) == len(keys)


def test_epochs_differ_in_order():
    first, second = take(2, length=50, batch_size=50)
    assert [key.image for key in first] != [key.image for key in second]


def test_seeds_tell_kinds_and_boundaries_apart():
    assert len({derive_seed(1, 2), derive_seed(12), derive_seed("1", 2), derive_seed(2, 1), derive_seed("1", "2")}) == 5


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i, (width, height) in enumerate([(40, 30), (30, 50), (32, 32)]):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


def test_crops_are_functions_of_the_seed(folder):
    data = ImageDataset(find_images(folder), size=24, crop=16, flip=True)
    assert len(data) == 3
    a, b = data[SampleKey(0, 5)], data[SampleKey(0, 5)]
    assert a.shape == (3, 16, 16)
    assert a.dtype == torch.uint8
    assert torch.equal(a, b)
    assert any(not torch.equal(a, data[SampleKey(0, seed)]) for seed in range(5))


def test_centre_square_without_crop(folder):
    data = ImageDataset(find_images(folder))
    expected = np.asarray(Image.open(folder / "0.png"))[:, 5:35]
    assert np.array_equal(data[0].permute(1, 2, 0).numpy(), expected)


def test_nothing_is_flipped_unless_asked(folder):
    """An evaluation reads images as they are, whatever the seed of a sample."""
    plain, flipped = (ImageDataset(find_images(folder), **options) for options in ({}, {"flip": True}))
    expected = plain[0]
    assert all(torch.equal(plain[SampleKey(0, seed)], expected) for seed in range(20))
    mirrored = [torch.equal(flipped[SampleKey(0, seed)], expected.flip(-1)) for seed in range(20)]
    assert any(mirrored)
    assert not all(mirrored)


def test_joined_sets_are_addressed_as_one(folder):
    one = ImageDataset(find_images(folder), size=20)
    both = JoinedDataset(one, one)
    assert len(both) == 6
    assert torch.equal(both[SampleKey(4, 7)], one[SampleKey(1, 7)])


def test_missing_and_broken_data_are_named(folder, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        find_images(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="0 images in"):
        find_images(tmp_path / "empty")
    (folder / "3.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"cannot read .*3\.png"):
        ImageDataset(find_images(folder))[3]
    with pytest.raises(DataError, match="smaller than the crop of 64"):
        ImageDataset(find_images(folder), crop=64)[0]
    with pytest.raises(DataError, match="0 images"):
        EndlessBatches(0, 4)
