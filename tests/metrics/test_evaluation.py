"""Sets of image files under protocols: numbers, bad input, statistics, intervals."""

import gc
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from pmrf_blocks.metrics import frechet_distance, mmd_rbf, ms_ssim, psnr, ssim
from pmrf_blocks.metrics import registry as registry_module
from pmrf_blocks.metrics.evaluation import Evaluator
from pmrf_blocks.metrics.image_sets import ImageSetError, batches, find_set, read
from pmrf_blocks.metrics.protocols import PROTOCOLS, Protocol, find_protocol
from pmrf_blocks.metrics.registry import METRICS, Extractor
from pmrf_blocks.metrics.report import FORMATS, per_image, render
from pmrf_blocks.metrics.statistics import Statistics

SETTINGS = {"resamples": 100, "seed": 0}
PLAIN = Protocol("plain", ("psnr", "ssim"))


def picture(size=(24, 20), seed=0, channels=3):
    shape = (size[0], size[1], channels) if channels > 1 else size
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def folders(tmp_path):
    """Three originals, of two sizes, and noisy copies under other suffixes."""
    for folder in ("gt", "out", "mean"):
        (tmp_path / folder).mkdir()
    for index, name in enumerate("abc"):
        image = picture((24, 20) if index < 2 else (16, 30), index)
        Image.fromarray(image).save(tmp_path / "gt" / f"{name}.png")
        for seed, folder in ((7, "out"), (8, "mean")):
            noise = np.random.default_rng(seed + index).integers(-20, 20, image.shape)
            noisy = (image + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(tmp_path / folder / f"{name}.bmp")
    return tmp_path


def means(images):
    """An extractor of three numbers an image."""
    return 100.0 * images.mean((2, 3))


@pytest.fixture
def small_extractor(monkeypatch):
    monkeypatch.setitem(
        registry_module.EXTRACTORS, "efficientnet_lite0", lambda weights, device: Extractor("means", means)
    )


def tensors(folder):
    return [torch.from_numpy(np.array(Image.open(p))).permute(2, 0, 1)[None] / 255.0 for p in sorted(folder.iterdir())]


def test_numbers_are_the_functions(folders):
    evaluator = Evaluator(PLAIN, reference=folders / "gt", batch_size=2, resamples=100)
    seen = []
    result = evaluator.evaluate(folders / "out", progress=seen.append)
    x, y = tensors(folders / "out"), tensors(folders / "gt")
    for name, function in (("psnr", psnr), ("ssim", ssim)):
        expected = [float(function(a, b)) for a, b in zip(x, y)]
        assert result.per_image[name] == pytest.approx(expected, rel=1e-6)
        assert result.scores[name].value == pytest.approx(np.mean(expected), rel=1e-6)
        low, high = result.scores[name].interval
        assert min(expected) - 1e-9 <= low < result.scores[name].value < high <= max(expected) + 1e-9
    assert (result.names, result.method, seen) == (["a", "b", "c"], "out", [2, 1])


def test_distances_are_the_functions_and_statistics_serve_for_the_set(folders, small_extractor):
    metrics = ("fd_efficientnet_lite0", "mmd_efficientnet_lite0")
    evaluator = Evaluator(PLAIN, metrics=metrics, reference=folders / "gt", batch_size=1)
    result = evaluator.evaluate(folders / "out")
    x, y = (torch.cat([means(image) for image in tensors(folders / name)]) for name in ("out", "gt"))
    assert result.scores[metrics[0]].value == pytest.approx(float(frechet_distance(x, y)), rel=1e-5)
    assert result.scores[metrics[1]].value == pytest.approx(float(mmd_rbf(x, y)), rel=1e-4)  # float32 means by batches
    assert result.extractors == {"efficientnet_lite0": "means"}
    path = evaluator.statistics("efficientnet_lite0").save(folders / "kept" / "s.npz")
    again = Evaluator(PLAIN, metrics=metrics, statistics=[Statistics.load(path)]).evaluate(folders / "out")
    for name in metrics:
        assert again.scores[name].value == pytest.approx(result.scores[name].value, rel=1e-9)


def test_statistics_of_another_protocol_or_without_features_are_not_taken(folders, small_extractor):
    metrics = ("fd_efficientnet_lite0", "mmd_efficientnet_lite0")
    whole = Evaluator(PLAIN, metrics=metrics, reference=folders / "gt").statistics("efficientnet_lite0")
    bare = Statistics(whole.extractor, whole.protocol, whole.moments)
    result = Evaluator(PLAIN, metrics=metrics, statistics=[bare]).evaluate(folders / "out")
    assert result.scores[metrics[0]].value is not None
    assert result.scores[metrics[1]].unavailable == "the statistics hold no features, which the MMD needs"
    cropped = Protocol("cropped", metrics, crop=2)
    result = Evaluator(cropped, statistics=[whole]).evaluate(folders / "out")
    assert "the statistics are of the protocol plain" in result.scores[metrics[0]].unavailable
    other = Statistics("other", whole.protocol, whole.moments)
    result = Evaluator(PLAIN, metrics=metrics, statistics=[other]).evaluate(folders / "out")
    assert result.scores[metrics[0]].unavailable == "give --statistics of the extractor 'means' (those given: other)"


def test_crop_and_resize_are_the_protocols(folders):
    (folders / "gt" / "c.png").unlink()
    (folders / "out" / "c.bmp").unlink()
    cropped = Evaluator(Protocol("cropped", ("psnr",), crop=3), reference=folders / "gt").evaluate(folders / "out")
    expected = [
        float(psnr(a[..., 3:-3, 3:-3], b[..., 3:-3, 3:-3]))
        for a, b in zip(tensors(folders / "out"), tensors(folders / "gt"))
    ]
    assert cropped.per_image["psnr"] == pytest.approx(expected, rel=1e-6)
    resized = Evaluator(Protocol("resized", ("psnr",), resize=10), reference=folders / "gt").evaluate(folders / "out")
    assert resized.scores["psnr"].value > cropped.scores["psnr"].value + 1  # shrinking averages the noise away


def test_equal_images_are_infinitely_good(folders):
    result = Evaluator(PLAIN, reference=folders / "gt").evaluate(folders / "gt")
    assert math.isinf(result.scores["psnr"].value)
    assert result.scores["psnr"].interval is None
    document = json.loads(render([result], "json", SETTINGS))
    assert document["methods"][0]["scores"]["psnr"]["value"] == "inf"
    assert "inf" in per_image([result], "csv")
    assert json.loads(per_image([result], "json"))[0]["psnr"] == "inf"


def test_what_is_not_available_is_listed_and_the_rest_computed(folders):
    metrics = ("psnr", "ms_ssim", "deg", "fid", "ind_rmse")
    result = Evaluator(PLAIN, metrics=metrics, reference=folders / "gt", resamples=0).evaluate(folders / "out")
    assert result.scores["psnr"].value is not None
    assert result.scores["psnr"].interval is None
    reasons = {name: score.unavailable for name, score in result.scores.items() if score.value is None}
    assert reasons["ms_ssim"] == "needs images of more than 160 pixels a side; the smallest here has 16"
    assert reasons["deg"].startswith("give the file resnet18_110.pth")
    assert reasons["fid"].startswith("give the file pt_inception-2015-12-05-6726825d.pth")
    assert reasons["ind_rmse"] == "give --posterior-mean"
    for form in FORMATS:
        text = render([result], form, SETTINGS)
        assert PLAIN.digest in text
        assert "give --posterior-mean" in text


def test_posterior_mean_is_compared_with_it(folders):
    evaluator = Evaluator(PLAIN, metrics=("ind_rmse",), posterior_mean=folders / "mean")
    x, y = tensors(folders / "out"), tensors(folders / "mean")
    expected = [255 * float((a - b).square().mean().sqrt()) for a, b in zip(x, y)]
    result = evaluator.evaluate(folders / "out")
    assert result.per_image["ind_rmse"] == pytest.approx(expected, rel=1e-5)
    score = result.scores["ind_rmse"]
    assert score.value == pytest.approx(float(np.mean(np.square(expected)) ** 0.5), rel=1e-5)  # of the set, not a mean
    assert min(expected) - 1e-5 <= score.interval[0] < score.value < score.interval[1] <= max(expected) + 1e-5


def test_one_image_has_no_distribution(folders, small_extractor):
    metrics = ("psnr", "fd_efficientnet_lite0")
    evaluator = Evaluator(PLAIN, metrics=metrics, reference=folders / "gt" / "a.png")
    result = evaluator.evaluate(folders / "out" / "a.bmp")
    assert result.scores["psnr"].value is not None
    assert result.scores["psnr"].interval is None
    assert "a distribution needs at least 2 images" in result.scores["fd_efficientnet_lite0"].unavailable


def test_unpaired_references_serve_distances_alone(folders, small_extractor):
    (folders / "gt" / "c.png").rename(folders / "gt" / "another.png")
    protocol = Protocol("unpaired", ("psnr", "fd_efficientnet_lite0"), paired=False)
    result = Evaluator(protocol, reference=folders / "gt").evaluate(folders / "out")
    assert result.scores["psnr"].unavailable == "the protocol unpaired has no pairs"
    assert result.scores["fd_efficientnet_lite0"].value is not None


def test_features_that_are_not_finite_name_their_images(folders, monkeypatch):
    broken = Extractor("broken", lambda images: means(images) / (images.shape[2] != 16))
    monkeypatch.setitem(registry_module.EXTRACTORS, "efficientnet_lite0", lambda weights, device: broken)
    evaluator = Evaluator(PLAIN, metrics=("fd_efficientnet_lite0",), reference=folders / "gt")
    with pytest.raises(ImageSetError, match="features of 'broken' are not finite for c"):
        evaluator.evaluate(folders / "out")


def resave(path, image, **options):
    image.save(path, **options)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: (f / "out" / "b.bmp").unlink(), "2 restored images and 3 reference images: 1 without a partner"),
        (lambda f: (f / "gt" / "a.png").unlink(), "1 without a partner among the reference images: a"),
        (lambda f: resave(f / "gt" / "a.png", Image.fromarray(picture((24, 21)))), "a is 24x20, its partner 24x21"),
        (lambda f: resave(f / "gt" / "a.png", Image.fromarray(picture(channels=1))), "a is coloured, its partner is"),
        (lambda f: (f / "out" / "a.bmp").write_bytes(b"no image"), "cannot read .*a.bmp"),
        (lambda f: (f / "gt" / "a.png").write_bytes((f / "gt" / "a.png").read_bytes()[:200]), "cannot read .*a.png"),
        (lambda f: resave(f / "out" / "a.png", Image.fromarray(picture())), "a.bmp and a.png in .* have one name"),
        (lambda f: resave(f / "gt" / "a.png", Image.new("I;16", (20, 24))), "of more than 8 bits"),
        (lambda f: resave(f / "gt" / "a.png", Image.new("RGBA", (20, 24), (1, 2, 3, 9))), "transparent pixels"),
        (lambda f: [p.unlink() for p in (f / "out").iterdir()], "0 images in"),
    ],
)
def test_bad_sets_are_errors(folders, harm, message):
    harm(folders)
    with pytest.raises(ImageSetError, match=message):
        Evaluator(PLAIN, reference=folders / "gt").evaluate(folders / "out")


def test_protocols_of_one_size_take_no_other(folders):
    protocol = Protocol("small", ("psnr",), size=24)
    with pytest.raises(ImageSetError, match=r"is 24x20; the protocol small \(.*\) is of 24x24 images"):
        Evaluator(protocol, reference=folders / "gt").check(folders / "out")


def test_grey_pairs_and_opaque_alpha_count_as_colour(tmp_path):
    grey = picture(channels=1)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert torch.equal(read(tmp_path / "grey.png"), torch.from_numpy(grey).expand(3, -1, -1))
    Image.fromarray(picture()).convert("RGBA").save(tmp_path / "opaque.png")
    assert torch.equal(read(tmp_path / "opaque.png"), torch.from_numpy(picture()).permute(2, 0, 1))


def test_batches_keep_order_and_sizes(folders):
    paths = list(find_set(folders / "gt").values())
    sizes = [(24, 20), (24, 20), (16, 30)]
    found = list(batches([paths, paths], sizes, batch_size=8, workers=3))
    assert [indices for indices, _ in found] == [[0, 1], [2]]
    for indices, (first, second) in found:
        assert torch.equal(first, torch.stack([read(paths[i]) for i in indices]))
        assert torch.equal(first, second)


def test_what_is_held_does_not_grow_with_the_set(tmp_path, small_extractor):
    """Tensors alive after each batch, those of a set's scores and features included: small ones kept from every batch
    made the process grow by a megabyte an image, since the allocator cannot give large blocks back around them."""
    for folder in ("gt", "out"):
        (tmp_path / folder).mkdir()
        for index in range(48):
            Image.fromarray(picture(seed=index)).save(tmp_path / folder / f"{index:02d}.png")
    protocol, alive = Protocol("plain", ("psnr", "ssim", "fd_efficientnet_lite0", "mmd_efficientnet_lite0")), []
    evaluator = Evaluator(protocol, reference=tmp_path / "gt", batch_size=1, workers=1, **SETTINGS)

    def count(_):
        alive.append(sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects()))

    gc.freeze()  # what stood before is not counted anew each time: it takes a second where all packages are loaded
    try:
        evaluator.evaluate(tmp_path / "out", progress=count)
    finally:
        gc.unfreeze()
    assert max(alive[24:]) <= max(alive[4:24]) + 8


def test_protocols_are_frozen_by_their_hash():
    assert all(name in METRICS for protocol in PROTOCOLS.values() for name in protocol.metrics)
    assert len({protocol.digest for protocol in PROTOCOLS.values()}) == len(PROTOCOLS)
    assert Protocol("a", ("psnr",)).digest == Protocol("a", ("ssim",)).digest != Protocol("a", (), crop=1).digest
    with pytest.raises(ValueError, match="protocol must be one of 'images', 'celeba-test'"):
        find_protocol("mine")
    with pytest.raises(ValueError, match="bits must be one of 8; got 16"):
        Protocol("a", (), bits=16)


def test_ms_ssim_of_fewer_scales_by_protocol(tmp_path):
    for folder, seed in (("x", 0), ("y", 1)):
        (tmp_path / folder).mkdir()
        Image.fromarray(picture((128, 128), seed)).save(tmp_path / folder / "a.png")
    protocol = PROTOCOLS["offline-faces-128"]
    result = Evaluator(protocol, metrics=("ms_ssim", "ssim"), reference=tmp_path / "y").evaluate(tmp_path / "x")
    (x,), (y,) = tensors(tmp_path / "x"), tensors(tmp_path / "y")
    from pmrf_blocks.metrics import MS_SSIM_WEIGHTS

    expected = float(ms_ssim(x, y, weights=MS_SSIM_WEIGHTS[:4]))
    assert result.scores["ms_ssim"].value == pytest.approx(expected, rel=1e-6)
