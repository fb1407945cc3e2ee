"""owner/name@revision and folders within: in Python, in every command that takes a hub id, in recipes' arguments."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_hub import FakeHub
from PIL import Image
from safetensors.torch import save_file
from small_pipelines import filled, latent_pmrf, pmrf, unet, vae

from pmrf_blocks.autoencoders import SimVAE, load_autoencoder
from pmrf_blocks.cli import main
from pmrf_blocks.estimators import UNet
from pmrf_blocks.experiments import Autoencoder, Estimator, Images, Net, Place
from pmrf_blocks.experiments.fitting import trained
from pmrf_blocks.experiments.release import adopt
from pmrf_blocks.hub import at_revision
from pmrf_blocks.metrics.weights import Unavailable, locate
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import LatentPMRF, PosteriorMean, load_restorer
from pmrf_blocks.training import TrainConfig

NAME = "owner/name"
FACES, TRAIN = Images("faces", 16), TrainConfig(steps=1, batch_size=1)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A pipeline, of other weights at the revision v1."""
    monkeypatch.chdir(tmp_path)
    hub = FakeHub(tmp_path / "of_the_hub").install(monkeypatch)
    PosteriorMean(estimator=unet(), size=16).push_to_hub(NAME)
    PosteriorMean(estimator=filled(unet(), 1), size=16).push_to_hub(NAME, revision="v1")
    return hub


def same(a, b):
    own = b.state_dict()
    return a.state_dict().keys() == own.keys() and all(torch.equal(x, own[name]) for name, x in a.state_dict().items())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("owner/name", ("owner/name", None)),
        ("owner/name@v1.0", ("owner/name", "v1.0")),
        ("owner/name@refs/pr/1", ("owner/name", "refs/pr/1")),
        ("owner/name@", ("", None)),
        ("owner/name@../x", ("", None)),
        ("owner/name@v1@v2", ("", None)),
        ("owner@v1/name", ("", None)),
        ("name@v1", ("", None)),
    ],
)
def test_what_stands_after_the_at_is_the_revision(name, expected):
    assert at_revision(name) == expected


def test_python_takes_it(hub):
    assert same(load_restorer(f"{NAME}@v1").estimator, filled(unet(), 1))
    assert same(load_restorer(NAME).estimator, unet())
    assert same(PosteriorMean.from_pretrained(f"{NAME}@v1", revision="v1").estimator, filled(unet(), 1))
    with pytest.raises(WeightsError, match=r"owner/name@v1 is asked for at revision v2: say one of the two"):
        load_restorer(f"{NAME}@v1", revision="v2")
    with pytest.raises(WeightsError, match=r"cannot get owner/name at revision v3 from the hub: 404"):
        load_restorer(f"{NAME}@v3")
    asked = hub.asked
    with pytest.raises(WeightsError, match=r"no folder .*and not a hub id"):
        load_restorer(Path(f"{NAME}@v1"))
    assert hub.asked == asked


def test_a_folder_of_that_name_is_no_revision(hub):
    PosteriorMean(estimator=filled(unet(), 2), size=16).save_pretrained(f"{NAME}@v1")
    asked = hub.asked
    assert same(load_restorer(f"{NAME}@v1").estimator, filled(unet(), 2))
    assert hub.asked == asked


def test_restore_takes_it(hub):
    Image.new("RGB", (16, 16), (90, 120, 150)).save("face.png")
    for name, seed in ((NAME, 0), (f"{NAME}@v1", 1)):
        assert main(["restore", "face.png", "-o", f"{seed}.png", "--aligned", "--model", name]) == 0
        image = torch.tensor([90, 120, 150]).view(1, 3, 1, 1).expand(1, 3, 16, 16) / 255
        expected = PosteriorMean(estimator=filled(unet(), seed) if seed else unet(), size=16).restore(image).image
        with Image.open(f"{seed}.png") as picture:
            written = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255
        torch.testing.assert_close(written, expected, atol=0.51 / 255, rtol=0)
    assert Path("0.png").read_bytes() != Path("1.png").read_bytes()


@pytest.mark.parametrize(
    "command", [["restore", "face.png", "-o", "new.png"], ["export", "--what", "estimator", "-o", "e.pt2"]]
)
def test_commands_say_which_revision_is_not_there(command, hub, capsys):
    Image.new("RGB", (16, 16)).save("face.png")
    assert main([*command, "--model", f"{NAME}@v3"]) == 2
    assert "cannot get owner/name at revision v3 from the hub: 404" in capsys.readouterr().err


def test_export_takes_it(hub):
    assert main(["export", "--what", "estimator", "-o", "e.pt2", "--model", f"{NAME}@v1"]) == 0
    x = torch.rand(1, 3, 16, 16)
    program = torch.export.load("e.pt2").module()
    torch.testing.assert_close(program(x), filled(unet(), 1)(x), rtol=1e-4, atol=1e-4)


def test_weights_of_metrics_take_it(hub):
    for revision in ("main", "v1"):
        folder = hub.folder / "hub/owner/metrics" / revision
        folder.mkdir(parents=True)
        save_file({"x": torch.full((1,), float(revision == "v1"))}, folder / "net.safetensors")
    for value, expected in (("owner/metrics:net.safetensors", "main"), ("owner/metrics@v1:net.safetensors", "v1")):
        assert locate("net", {"net": value}, "").parent.name == expected
    with pytest.raises(Unavailable, match=r"owner/metrics@v2:net\.safetensors could not be fetched: LookupError: 404"):
        locate("net", {"net": "owner/metrics@v2:net.safetensors"}, "")
    with pytest.raises(Unavailable, match="no such file: owner@v1:net"):
        locate("net", {"net": "owner@v1:net"}, "")


def test_recipes_arguments_take_it(hub):
    latent_pmrf().push_to_hub("owner/both")
    latent_pmrf(autoencoder=filled(vae(), 1), estimator=filled(unet(), 1)).push_to_hub("owner/both", revision="v1")
    (hub.folder / "hub/owner/both/v1/provenance.json").write_text(
        json.dumps({"stages": {"autoencoder": {"steps": 7}, "estimator": {}}})
    )
    place = Place(Path("data"), Path("runs"))
    found = "owner/both@v1:autoencoder"
    stage = Autoencoder(Net(SimVAE, latent_channels=4), (FACES,), FACES, FACES, TRAIN, published=found)
    assert same(trained(stage, place), filled(vae(), 1))
    estimator = Estimator(Net(UNet), FACES, FACES, TRAIN, "blind-face", published="owner/both@v1:estimator")
    assert same(trained(estimator, place), filled(unet(), 1))
    stage = Autoencoder(Net(SimVAE, latent_channels=4), (FACES,), FACES, FACES, TRAIN)
    adopt("owner/both@v1", stage, place)  # --start
    assert same(SimVAE.from_pretrained(place.folder(stage) / "model"), filled(vae(), 1))


def test_folders_within(hub):
    latent_pmrf().save_pretrained(hub.folder / "hub/owner/both/main")
    latent_pmrf(steps=9).save_pretrained(hub.folder / "hub/owner/both/main/deep/er")
    cache = hub.folder / "cache/owner/both/main"
    assert same(UNet.from_pretrained("owner/both", subfolder="estimator"), unet())
    assert [path.name for path in cache.iterdir()] == ["estimator"]
    assert LatentPMRF.from_pretrained("owner/both", subfolder="deep/er").steps == 9
    assert {path.name for path in cache.iterdir()} == {"estimator", "deep"}
    assert load_autoencoder("owner/both", subfolder="deep/er/autoencoder").latent_channels == 4
    with pytest.raises(WeightsError, match="no folder absent in"):
        load_restorer("owner/both", subfolder="absent")
    for outside in ("../both", "/etc"):
        with pytest.raises(WeightsError, match="subfolder must lie within the model"):
            load_restorer("owner/both", subfolder=outside)


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_a_pipeline_within_brings_what_it_shares_with_the_one_above(variant, hub):
    options = {"variant": variant, "dtype": torch.float16} if variant else {}
    folder = hub.folder / "hub/owner/both/main"
    latent_pmrf().save_pretrained(folder, **options)
    pmrf(steps=8).save_pretrained(folder / "pixel", shared=("estimator",), **options)
    pixel = load_restorer("owner/both", subfolder="pixel", variant=variant)
    assert (type(pixel).__name__, pixel.steps) == ("PMRF", 8)
    assert {path.name for path in (hub.folder / "cache/owner/both/main").iterdir()} == {
        "config.json",
        "estimator",
        "pixel",
    }
    asked = hub.asked
    assert load_restorer("owner/both", subfolder="pixel", variant=variant, local_files_only=True).steps == 8
    assert hub.asked == asked
    assert load_restorer(folder, subfolder="pixel", variant=variant).steps == 8


def test_the_one_that_ships_has_a_folder_within():
    assert type(load_restorer("bundled", subfolder="pixel")).__name__ == "PMRF"
