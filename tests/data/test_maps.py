"""Any map-style set as a source of images, and the image in any item."""

import io
import random

import numpy as np
import pytest
import torch
from PIL import Image

from pmrf_blocks.data import DataError, ImageDataset, JoinedDataset, MapImages, SampleKey, find_images
from pmrf_blocks.data.items import ItemReader, pixels_of

RGB = np.random.default_rng(0).integers(0, 256, (9, 6, 3), dtype=np.uint8)
PICTURE = Image.fromarray(RGB)
CHW = torch.from_numpy(RGB).permute(2, 0, 1)


def encoded(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


FORMS = {
    "picture": PICTURE,
    "tensor": CHW,
    "tensor, channels last": torch.from_numpy(RGB),
    "array": RGB,
    "array, channels first": RGB.transpose(2, 0, 1),
    "floats": CHW.float() / 255,
    "doubles": RGB / 255,
    "opaque": np.dstack([RGB, np.full((9, 6), 255, np.uint8)]),
    "bytes": encoded(PICTURE),
    "undecoded": {"bytes": encoded(PICTURE), "path": None},
    "labelled": (PICTURE, 3),
    "listed": [CHW, {"label": 3}],
    "named": {"label": 3, "image": PICTURE},
    "webdataset's": {"__key__": "a", "png": encoded(PICTURE), "cls": 3},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_pixels(form):
    found = ItemReader("set").pixels(FORMS[form], "item 0")
    assert found.dtype == np.uint8
    assert np.array_equal(found, RGB)


def test_paths_and_undecoded_paths(tmp_path):
    PICTURE.save(tmp_path / "a.png")
    for item in (tmp_path / "a.png", str(tmp_path / "a.png"), {"bytes": None, "path": str(tmp_path / "a.png")}):
        assert np.array_equal(ItemReader("set").pixels(item, "item 0"), RGB)


@pytest.mark.parametrize(
    ("key", "item"),
    [("photo", {"photo": PICTURE, "image": None}), (1, (3, PICTURE)), (lambda item: item["a"][1], {"a": [3, PICTURE]})],
)
def test_a_key_says_where_the_image_is(key, item):
    assert np.array_equal(ItemReader("set", key).pixels(item, "item 0"), RGB)


def test_grey_becomes_rgb_and_transparency_is_told_once(caplog):
    grey = RGB[..., 0]
    for image in (grey, grey[..., None], torch.from_numpy(grey), torch.from_numpy(grey)[None], Image.fromarray(grey)):
        assert np.array_equal(pixels_of(image), np.repeat(grey[..., None], 3, 2))
    clear = np.dstack([RGB, np.zeros((9, 6), np.uint8)])
    reader = ItemReader("set")
    for image in (clear, Image.fromarray(clear), torch.from_numpy(clear).permute(2, 0, 1)):
        assert np.array_equal(reader.pixels(image, "item 4"), RGB)
    assert [record.getMessage() for record in caplog.records] == [
        "item 4 of set, and perhaps others: its transparency is left out"
    ]


@pytest.mark.parametrize(
    ("item", "key", "message"),
    [
        (CHW.float(), None, r"floats from \d+ to \d+; they must be in \[0, 1\]"),
        (torch.full((3, 4, 4), torch.nan), None, "floats from nan to nan"),
        (RGB.astype(np.int64), None, "numbers of int64; they must be uint8"),
        (torch.zeros(3, 4, 4, dtype=torch.bool), None, "numbers of bool"),
        (torch.zeros(2, 5, 7), None, r"no image but float32 of shape \(2, 5, 7\)"),
        (torch.zeros(1, 3, 4, 4), None, r"of shape \(1, 3, 4, 4\)"),
        (torch.zeros(3, 0, 4, dtype=torch.uint8), None, r"of shape \(3, 0, 4\)"),
        (7, None, "no image but 7, a int"),
        (None, None, "no image but None"),
        ((), None, "it is empty"),
        ((PICTURE, 3), 5, "it has no 5: a tuple of 2"),
        (
            {"label": 3, "photo": PICTURE},
            None,
            "which entry is the image.*by key=: it is a mapping of 'label', 'photo'",
        ),
        ({"jpg": b"", "png": b""}, None, "which entry is the image"),
        ({"label": 3}, "image", "it has no 'image': a mapping of 'label'"),
        ({"image": 3}, None, "no image but 3, a int"),
        ((3, PICTURE), lambda item: item["a"], "key= failed on it: TypeError: tuple indices"),
        (b"no image", None, "cannot be read: "),
        ("/nowhere/a.png", None, "cannot be read: no such file"),
    ],
)
def test_a_wrong_item_is_one_line(item, key, message):
    with pytest.raises(DataError, match=rf"^item 1 of list: .*{message}") as error:
        MapImages([PICTURE, item], key=key)[1]
    assert "\n" not in str(error.value)


class Photos(torch.utils.data.Dataset):
    """As torchvision's sets: (picture, label), with a transform that draws from all global generators."""

    def __init__(self, pictures, shaken=False):
        self.pictures, self.shaken = pictures, shaken

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, index):
        picture = self.pictures[index]
        if self.shaken:
            drawn = random.random() + np.random.rand() + torch.rand(()).item()  # noqa: NPY002
            picture = picture.point(lambda value: value * drawn / 3)
        return picture, index


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for number, (width, height) in enumerate([(40, 30), (30, 50), (32, 32), (64, 24)]):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def pictures(folder):
    return [Image.open(path).copy() for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("options", [{}, {"size": 24, "crop": 16, "flip": True}, {"crop": 20}, {"size": 12}])
def test_samples_are_those_of_a_folder(folder, pictures, options):
    files, items = ImageDataset(find_images(folder), **options), MapImages(Photos(pictures), **options)
    assert len(items) == len(files) == 4
    assert torch.equal(items[1], files[1])
    for seed in range(6):
        key = SampleKey(seed % 4, seed)
        assert torch.equal(items[key], files[key])
    joined = JoinedDataset(files, items)
    assert torch.equal(joined[SampleKey(5, 3)], items[SampleKey(1, 3)])
    assert joined.problems(range(8), batched=False) == []


def test_the_set_s_own_random_transforms_follow_the_sample_s_seed(pictures):
    data = MapImages(Photos(pictures, shaken=True))
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    first = data[SampleKey(0, 5)]
    drawn = random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002
    assert torch.equal(data[SampleKey(0, 5)], first)
    assert not torch.equal(data[SampleKey(0, 6)], first)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    assert drawn == (random.random(), np.random.rand(), torch.rand(()).item())  # noqa: NPY002


def test_what_is_wrong_with_a_set_is_found(pictures):
    small = [*pictures, Image.new("RGB", (8, 60))]
    assert MapImages(small, size=16).problems(range(5)) == []
    assert MapImages(small, crop=16).problems(range(5)) == [("item 4", "is 8x60, smaller than the crop of 16")]
    assert "wide, that of item 0 30; set size or crop" in MapImages(small).problems(range(5))[0][1]
    assert MapImages([*pictures, 3]).problems(range(5), batched=False)[0][0] == "item 4"
    with pytest.raises(DataError, match=r"^generator has no __getitem__ and __len__; .* IterableImages$"):
        MapImages(picture for picture in pictures)
    with pytest.raises(DataError, match=r"^item 9 of Absent cannot be read: KeyError: 9$"):
        MapImages(type("Absent", (dict,), {"__len__": lambda self: 10})())[9]
    with pytest.raises(DataError, match="crop 9 is larger than size 8"):
        MapImages(pictures, size=8, crop=9)


def test_its_identity_says_what_it_is(pictures):
    named = MapImages(pictures, size=8, name="photos of 1900")
    assert named.identity() == {"source": "photos of 1900", "size": 8, "crop": None, "flip": False}
    assert MapImages(Photos(pictures)).identity()["source"] == "Photos"
    told = type("Told", (list,), {"identity": lambda self: {"version": 3}})(pictures)
    assert MapImages(told).identity()["version"] == 3


def test_a_loop_over_it_ends(pictures):
    assert len(list(MapImages(pictures, size=8))) == 4
