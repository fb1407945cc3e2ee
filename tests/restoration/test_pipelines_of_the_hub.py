"""Pipelines, autoencoders and networks of others from a hub on the disk: variants, shards, revisions, privacy."""

import json
from pathlib import Path

import pytest
import torch
from fake_hub import FakeHub
from safetensors.torch import load_file, save_file
from small_pipelines import COMPOSITIONS, filled, latent_pmrf, pmrf, seeded, unet, vae

from pmrf_blocks.autoencoders import SDVAE, load_autoencoder, save_diffusers
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import PMRF, ForeignNetwork, LatentPMRF, Pipeline, PosteriorMean, load_restorer

NAME = "owner/name"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return FakeHub(tmp_path / "of_the_hub").install(monkeypatch)


def same(a, b):
    own = b.state_dict()
    return a.state_dict().keys() == own.keys() and all(torch.equal(x, own[name]) for name, x in a.state_dict().items())


def halved(model):
    return model.half().float()


@pytest.mark.parametrize("name", ["Latent-PMRF", "ELIR", "two estimators", "ResShift in pixels"])
def test_every_composition_goes_there_and_back_in_half_precision_and_shards(name, hub):
    COMPOSITIONS[name]().push_to_hub(NAME, dtype=torch.float16, variant="fp16", max_shard_bytes=8000)
    assert any("/model.fp16-00001-of-" in file for file in hub.files(NAME))
    again = load_restorer(NAME, variant="fp16")
    assert type(again) is type(COMPOSITIONS[name]())
    assert not again.training
    assert same(again, halved(COMPOSITIONS[name]()))


def test_only_the_variant_that_is_wanted_is_downloaded(hub):
    model = latent_pmrf()
    model.push_to_hub(NAME)
    model.push_to_hub(NAME, dtype=torch.float16, variant="fp16")
    model.push_to_hub("owner/shards", dtype=torch.float16, variant="fp16", max_shard_bytes=8000)
    model.push_to_hub("owner/shards", max_shard_bytes=8000)
    for name in (NAME, "owner/shards"):
        for variant, expected in ((None, model), ("fp16", halved(latent_pmrf()))):
            assert same(LatentPMRF.from_pretrained(name, variant=variant, revision="main"), expected)
            loaded = [path.name for path in hub.folder.joinpath("cache", name).rglob("*.safetensors")]
            assert loaded
            assert all(("fp16" in file) is (variant is not None) for file in loaded)
            for path in hub.folder.joinpath("cache", name).rglob("*.safetensors"):
                path.unlink()
    with pytest.raises(WeightsError, match=r"model\.bf16\.safetensors not found"):
        load_restorer(NAME, variant="bf16")
    with pytest.raises(WeightsError, match="variant must be letters"):
        load_restorer(NAME, variant="../fp16")


def test_a_variant_in_a_folder_is_named_where_it_is_alone(tmp_path):
    latent_pmrf().save_pretrained(tmp_path, variant="fp16", dtype=torch.float16)
    with pytest.raises(WeightsError, match="there is variant 'fp16': pass variant='fp16'"):
        load_restorer(tmp_path)
    latent_pmrf().save_pretrained(tmp_path)
    assert same(load_restorer(tmp_path), latent_pmrf())
    assert same(load_restorer(tmp_path, variant="fp16"), halved(latent_pmrf()))
    latent_pmrf().save_pretrained(tmp_path / "inner", variant="fp16", shared=("autoencoder",))
    assert not (tmp_path / "inner/autoencoder").exists()
    assert load_restorer(tmp_path / "inner", variant="fp16").size == 16


@pytest.mark.parametrize("load", [load_restorer, LatentPMRF.from_pretrained, Pipeline.from_pretrained])
def test_revisions_private_repositories_and_what_was_downloaded_before(load, hub):
    first, second = latent_pmrf(), latent_pmrf(steps=7)
    first.push_to_hub(NAME, token="secret", private=True)
    second.push_to_hub(NAME, token="secret", revision="v2")
    with pytest.raises(WeightsError, match=f"cannot get {NAME} from the hub: .*401") as refused:
        load(NAME)
    assert "\n" not in str(refused.value)
    with pytest.raises(WeightsError, match=f"cannot get {NAME} among what was downloaded before"):
        load(NAME, local_files_only=True, token="secret")
    assert load(NAME, token="secret").steps == 2
    assert load(NAME, token="secret", revision="v2").steps == 7
    with pytest.raises(WeightsError, match=f"cannot get {NAME} at revision v3 from the hub: .*404"):
        load(NAME, token="secret", revision="v3")
    asked = hub.asked
    assert load(NAME, local_files_only=True, revision="v2").steps == 7
    assert hub.asked == asked


@pytest.mark.parametrize(("size", "other"), [(None, 8000), (8000, 4000), (8000, None)])
def test_new_weights_are_read_where_old_ones_lay_in_one_file_or_other_shards(size, other, hub):
    old, new = (PosteriorMean(estimator=filled(unet(), seed), size=16) for seed in (1, 2))
    old.push_to_hub(NAME, max_shard_bytes=size)
    old.push_to_hub(NAME, max_shard_bytes=size, variant="fp16", dtype=torch.float16)
    new.push_to_hub(NAME, max_shard_bytes=other)
    new.save_pretrained("expected", max_shard_bytes=other, picture=True)
    expected = {path.relative_to("expected").as_posix() for path in Path("expected").rglob("*") if path.is_file()}
    assert {file for file in hub.files(NAME) if "fp16" not in file} == expected
    assert same(load_restorer(NAME), new)
    assert same(load_restorer(NAME, variant="fp16"), halved(old))


def test_a_pipeline_that_cannot_be_saved_is_not_uploaded(hub):
    changed = pmrf()
    changed.source = torch.nn.Identity()
    with pytest.raises(ValueError, match="PMRF has no attribute 'estimator'"):
        changed.push_to_hub(NAME)
    with pytest.raises(WeightsError, match="repo_id must be owner/name; got 'name'"):
        pmrf().push_to_hub("name")
    assert hub.asked == 0


def diffusers_vae():
    return seeded(SDVAE, latent_channels=4, norm_groups=4, channels=(8,), blocks_per_level=1)


def diffusers_folder(hub, name, subfolder=""):
    """An autoencoder as diffusers lays it out, whole and as fp16, beside what nobody asks for."""
    folder = hub.folder / "hub" / name / "main" / subfolder
    save_diffusers(diffusers_vae(), folder)
    whole = load_file(folder / "diffusion_pytorch_model.safetensors")
    half = {key: value.half() for key, value in whole.items()}
    keys = sorted(half)
    places = {}
    for number, part in enumerate((keys[:9], keys[9:]), 1):
        file = f"diffusion_pytorch_model.fp16-{number:05}-of-00002.safetensors"
        save_file({key: half[key] for key in part}, folder / file)
        places |= dict.fromkeys(part, file)
    index = folder / "diffusion_pytorch_model.safetensors.index.fp16.json"
    index.write_text(json.dumps({"weight_map": places}))
    (folder / "other.safetensors").write_bytes(b"large")


@pytest.mark.parametrize("subfolder", ["", "vae"])
def test_autoencoders_of_diffusers(subfolder, hub):
    diffusers_folder(hub, NAME, subfolder)
    assert same(load_autoencoder(NAME, subfolder=subfolder), diffusers_vae())
    cache = hub.folder / "cache" / NAME / "main" / subfolder
    assert {path.name for path in cache.iterdir()} == {"config.json", "diffusion_pytorch_model.safetensors"}
    assert same(load_autoencoder(NAME, subfolder=subfolder, variant="fp16"), halved(diffusers_vae()))
    assert not (cache / "other.safetensors").exists()
    asked = hub.asked
    again = load_autoencoder(NAME, subfolder=subfolder, local_files_only=True, token="x", revision="main")
    assert same(again, diffusers_vae())
    assert hub.asked == asked
    with pytest.raises(WeightsError, match="at revision v2 from the hub"):
        load_autoencoder(NAME, subfolder=subfolder, revision="v2")


def test_our_autoencoders_have_shards_and_variants_too(hub):
    vae().push_to_hub(NAME, max_shard_bytes=8000)
    halved(vae()).push_to_hub(NAME, variant="fp16", revision="v2", token="secret")
    assert same(load_autoencoder(NAME), vae())
    assert same(load_autoencoder(NAME, variant="fp16", revision="v2", token="secret"), halved(vae()))


def test_a_file_of_ours_is_the_one_that_is_read(tmp_path):
    vae().save_pretrained(tmp_path)
    halved(vae()).save_pretrained(tmp_path, variant="fp16")
    assert same(load_autoencoder(tmp_path / "model.safetensors"), vae())
    assert same(load_autoencoder(tmp_path / "model.fp16.safetensors"), halved(vae()))
    (tmp_path / "model.safetensors").rename(tmp_path / "best.safetensors")
    with pytest.raises(WeightsError, match=r"weights of a SimVAE are called model\.safetensors, or"):
        load_autoencoder(tmp_path / "best.safetensors")


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("size", [None, 2000])
def test_networks_of_others(variant, size, hub):
    pytest.importorskip(
        "spandrel", reason="spandrel is not installed: pip install pmrf-blocks[background]", exc_type=Exception
    )
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(0)
    network = Compact(num_feat=8, num_conv=1, upscale=1)
    torch.save(network.state_dict(), "net.pth")
    model = PosteriorMean(estimator=ForeignNetwork("net.pth"), size=16)
    model.push_to_hub(NAME, variant=variant, max_shard_bytes=size, token="secret", private=True)
    model.estimator.push_to_hub("owner/net", variant=variant, max_shard_bytes=size, token="secret", private=True)
    again = PosteriorMean.from_pretrained(NAME, variant=variant, token="secret")
    assert same(again, model)
    options = {"variant": variant, "revision": "main", "token": "secret"}
    assert same(ForeignNetwork.from_pretrained("owner/net", **options), model.estimator)
    assert same(ForeignNetwork.from_pretrained("owner/net", **options, local_files_only=True), model.estimator)
    with pytest.raises(WeightsError, match="401"):
        ForeignNetwork.from_pretrained("owner/net", variant=variant)


class Plain(torch.nn.Module):
    """A network of one's own whose files have a form of their own and no variants."""

    def save_pretrained(self, folder):
        folder.mkdir()
        save_file({"x": torch.ones(1)}, folder / "own.safetensors")

    @classmethod
    def from_pretrained(cls, folder, trusted_modules=()):
        assert (folder / "own.safetensors").is_file()
        return cls()

    def forward(self, images):
        return images


def test_networks_with_files_of_their_own_need_know_of_no_options(hub):
    PosteriorMean(estimator=Plain(), size=16).push_to_hub(NAME)
    assert isinstance(load_restorer(NAME, trusted_modules=(__name__,)).estimator, Plain)


def test_the_published_layout_has_variants_and_revisions(hub, monkeypatch):
    from pmrf_blocks.restoration import published

    network = pmrf().velocity
    monkeypatch.setitem(published.VELOCITIES, "hdit_ImageNet256Sp4", (lambda: pmrf().velocity, 16))
    monkeypatch.setitem(published.ESTIMATORS, "swinir_L", unet)
    monkeypatch.setattr(published, "load_swinir_weights", lambda model, weights: model)
    monkeypatch.setattr(published, "load_k_diffusion_weights", lambda model, content, ema: model)
    folder = hub.folder / "hub" / NAME / "v1"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(published.BLIND_FACE))
    save_file({f"mmse_model.{key}": x for key, x in unet().state_dict().items()}, folder / "model.fp16.safetensors")
    for load in (load_restorer, PMRF.from_published, PMRF.from_pretrained):
        pipeline = load(NAME, variant="fp16", revision="v1")
        assert same(pipeline.velocity, network)
        assert load(NAME, variant="fp16", revision="v1", local_files_only=True).size == 16
        with pytest.raises(WeightsError, match=r"model\.safetensors not found"):
            load(NAME, revision="v1")
