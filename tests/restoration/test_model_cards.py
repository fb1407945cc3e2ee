"""The model card that is written beside a model: what it says is so, its Python loads, and one's own stays."""

import re

import pytest
import torch
from fake_hub import FakeHub
from huggingface_hub import ModelCard
from own_parts import Estimator
from PIL import Image
from small_pipelines import COMPOSITIONS, latent_pmrf, seeded, vae

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.model_cards import Place, card
from pmrf_blocks.restoration import LatentPMRF, Pipeline, PosteriorMean, load_restorer
from pmrf_blocks.training import FlowTask

NAME = "owner/name"
PROVENANCE = {
    "data": "5 images in faces",
    "stages": {
        "autoencoder": {"published": "owner/vae"},
        "flow": {
            "steps": 2000, "images": 32000, "batch_size": 16, "hours": 0.5, "hardware": "a processor",
            "validation": {"val_psnr": 23.456}, "versions": {"torch": "2.11.0"}, "revision": "0123abc",
        },
    },
}  # fmt: skip


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return FakeHub(tmp_path / "of_the_hub").install(monkeypatch)


def loaded(text, **scope):
    """What the card's Python loads."""
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(block, "README.md", "exec"), scope)
    return scope


def test_a_saved_pipeline_has_a_card_that_says_what_it_is(tmp_path, monkeypatch):
    model = latent_pmrf()
    model.provenance = PROVENANCE
    model.save_pretrained(tmp_path / "mine", license="cc-by-4.0", picture=torch.rand(2, 3, 16, 16))
    text = (tmp_path / "mine/README.md").read_text()
    data = ModelCard(text).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("cc-by-4.0", "pmrf-blocks", "image-to-image")
    assert data.tags == ["image-restoration", "latentpmrf", "rectified-flow"]
    for name in ("autoencoder", "estimator", "velocity"):
        network = getattr(model, name)
        count = sum(value.numel() for value in network.parameters())
        assert f"| {name} | `{type(network).__name__}` | {count:,} |" in text
    assert "Working size: 16 pixels" in text
    assert "Steps unless told: 2 (euler), source noise 0.1." in text
    assert "Images: 5 images in faces." in text
    assert "| flow | 2,000 | 32,000 | 16 | 0.5 | a processor | torch 2.11.0 | 0123abc |" in text
    assert "| autoencoder | published: owner/vae |" in text
    assert "| flow | `val_psnr` | 23.46 |" in text
    with Image.open(tmp_path / "mine/card.jpg") as picture:
        assert picture.height > 2 * 256 > picture.width / 2  # two rows of three
    monkeypatch.chdir(tmp_path)
    assert loaded(text, images=torch.rand(1, 3, 16, 16))["restored"].shape == (1, 3, 16, 16)


def test_provenance_goes_with_the_pipeline_until_it_is_trained_on(tmp_path):
    model = latent_pmrf()
    model.provenance = PROVENANCE
    model.save_pretrained(tmp_path / "a")
    latent_pmrf().save_pretrained(tmp_path / "a/inner", shared=("autoencoder",))
    assert not (tmp_path / "a/inner/README.md").exists()
    assert load_restorer(tmp_path / "a/inner").provenance == PROVENANCE
    again = load_restorer(tmp_path / "a")
    again.save_pretrained(tmp_path / "b")
    assert load_restorer(tmp_path / "b").provenance == PROVENANCE
    FlowTask(again)
    again.save_pretrained(tmp_path / "c")
    assert not (tmp_path / "c/provenance.json").exists()
    assert "Nothing was recorded of it." in (tmp_path / "c/README.md").read_text()


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_every_composition_goes_to_the_hub_with_a_card_and_a_picture(name, hub):
    COMPOSITIONS[name]().push_to_hub(NAME, license="mit")
    assert {"README.md", "card.jpg"} <= set(hub.files(NAME))
    text = (hub.folder / "hub" / NAME / "main/README.md").read_text()
    assert ModelCard(text).data.license == "mit"
    assert "![Before and after](card.jpg)" in text
    assert type(loaded(text, images=torch.rand(1, 3, 16, 16))["restorer"]) is type(COMPOSITIONS[name]())


def test_the_card_names_revision_variant_and_code_of_ones_own(hub):
    model = PosteriorMean(estimator=seeded(Estimator), size=16)
    model.push_to_hub(NAME, revision="v1", variant="fp16", dtype=torch.float16, picture=False)
    assert "card.jpg" not in hub.files(NAME, "v1")
    text = (hub.folder / "hub" / NAME / "v1/README.md").read_text()
    call = 'PosteriorMean.from_pretrained("owner/name", revision="v1", variant="fp16", trusted_modules=["own_parts"])'
    assert call in text
    assert type(loaded(text, images=torch.rand(1, 3, 16, 16))["restorer"].estimator) is Estimator


def test_one_network_has_a_card_on_the_hub(hub):
    vae().push_to_hub(NAME, license="mit")
    text = (hub.folder / "hub" / NAME / "main/README.md").read_text()
    assert ModelCard(text).data.tags == ["image-restoration", "simvae"]
    assert "| latent_channels | `4` |" in text
    assert type(loaded(text)["network"]) is SimVAE


def test_a_card_of_ones_own_stays(hub, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/README.md").write_text("my words")
    latent_pmrf().save_pretrained(tmp_path / "mine", picture=True)
    assert (tmp_path / "mine/README.md").read_text() == "my words"
    assert not (tmp_path / "mine/card.jpg").exists()
    latent_pmrf().push_to_hub(NAME)
    page = hub.folder / "hub" / NAME / "main/README.md"
    page.write_text("my words")
    page.with_name("card.jpg").write_bytes(b"my picture")
    latent_pmrf(steps=7).push_to_hub(NAME)
    assert (page.read_text(), page.with_name("card.jpg").read_bytes()) == ("my words", b"my picture")
    assert LatentPMRF.from_pretrained(NAME).steps == 7
    vae().push_to_hub("owner/vae")
    (hub.folder / "hub/owner/vae/main/README.md").write_text("my words")
    vae().push_to_hub("owner/vae")
    assert (hub.folder / "hub/owner/vae/main/README.md").read_text() == "my words"


def test_a_picture_that_is_given(tmp_path):
    latent_pmrf().save_pretrained(tmp_path, picture=Image.new("RGB", (40, 20), "red"))
    with Image.open(tmp_path / "card.jpg") as picture:
        assert picture.size == (40, 20)


def test_what_cannot_be_a_licence_is_refused_before_the_hub_is_asked(hub, tmp_path):
    for model in (latent_pmrf(), vae()):
        with pytest.raises(ValueError, match="license must be an identifier of the hub"):
            model.push_to_hub(NAME, license="mit\ntags: [x]")
    with pytest.raises(ValueError, match="license must be an identifier of the hub"):
        latent_pmrf().save_pretrained(tmp_path / "mine", license="")
    assert not (tmp_path / "mine").exists()
    assert hub.asked == 0


def test_a_strangers_provenance_says_nothing_but_plain_words():
    told = {
        "license": "mit\nx: y",
        "data": "<script>\n# heading",
        "stages": {"a | b": {"steps": [1], "images": True, "validation": {"`x`": "1", "y": 2}}, "c": 3},
    }
    text = card("title", about="about", facts=[], code=[], tags=["x"], provenance=told)
    assert ModelCard(text).data.license is None
    assert "&lt;script> # heading." in text
    assert "| a \\| b |  |  |" in text
    assert "| a \\| b | `y` | 2 |" in text
    assert "None was stated" in text
    assert Place("./a").title == "a"


def test_the_shipped_weights_keep_their_licence_and_story(tmp_path):
    bundled = load_restorer("bundled")
    bundled.save_pretrained(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert ModelCard(text).data.license == "mit"
    flow = bundled.provenance["stages"]["flow"]
    assert f"| flow | {flow['steps']:,} | {flow['images']:,} |" in text
    assert isinstance(bundled, Pipeline)
    assert load_restorer("bundled-pixel").provenance == bundled.provenance
