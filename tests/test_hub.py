"""Weights in shards and of variants, and what is asked of the hub, by a hub of our own."""

import json
from pathlib import Path

import huggingface_hub
import pytest
import torch

from pmrf_blocks.autoencoders import SimVAE, save_diffusers
from pmrf_blocks.pretrained import WeightsError


def tiny():
    torch.manual_seed(0)
    return SimVAE(4, channels=(8, 16), blocks_per_level=1)


def same(a, b):
    return all(torch.equal(x, b.state_dict()[name]) for name, x in a.state_dict().items())


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("stem", ["model", "diffusion_pytorch_model"])
def test_shards_and_variants_round_trip(variant, stem, tmp_path):
    model = tiny()
    model.save_pretrained(tmp_path, variant=variant, max_shard_bytes=20_000)
    assert len(list(tmp_path.glob("*-of-*.safetensors"))) > 1
    for path in tmp_path.glob("model*"):
        text = path.read_text().replace('"model', f'"{stem}') if path.suffix == ".json" else None
        path = path.rename(tmp_path / path.name.replace("model", stem, 1))
        if text:
            path.write_text(text)
    assert same(model, SimVAE.from_pretrained(tmp_path, variant=variant))
    if variant:
        with pytest.raises(WeightsError, match="there is variant 'fp16': pass variant='fp16'"):
            SimVAE.from_pretrained(tmp_path)


def test_the_hub_is_asked_for_what_was_said(tmp_path, monkeypatch):
    tiny().save_pretrained(tmp_path / "model")
    asked = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, **options: asked.append(options) or str(tmp_path / "model")
    )
    options = {"revision": "v1", "token": "secret", "local_files_only": True}
    assert same(tiny(), SimVAE.from_pretrained("owner/name", **options))
    assert {name: asked[0][name] for name in options} == options


def test_push_uploads_what_loads_again(tmp_path, monkeypatch):
    calls = []

    class Api:
        def __init__(self, token=None):
            calls.append(("token", token))

        def create_repo(self, repo_id, **options):
            calls.append(("create", repo_id, options["private"]))

        def create_branch(self, repo_id, **options):
            calls.append(("branch", options["branch"]))

        def file_exists(self, repo_id, filename, **options):
            return False

        def upload_folder(self, *, repo_id, folder_path, revision, commit_message, delete_patterns, ignore_patterns):
            calls.append(("upload", repo_id, revision))
            assert same(tiny(), SimVAE.from_pretrained(Path(folder_path)))

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    tiny().push_to_hub("owner/name", revision="v1", token="secret", private=True)
    assert [call[0] for call in calls] == ["token", "create", "branch", "upload"]
    assert calls[-1] == ("upload", "owner/name", "v1")
    with pytest.raises(WeightsError, match="repo_id must be owner/name"):
        tiny().push_to_hub("name")


def test_diffusers_refuses_what_it_has_no_class_for(tmp_path):
    diffusers = pytest.importorskip("diffusers", reason="compares with the package diffusers")
    save_diffusers(tiny(), tmp_path, kind="AutoencoderKLSim")
    assert json.loads((tmp_path / "config.json").read_text())["_class_name"] == "AutoencoderKLSim"
    with pytest.raises(ValueError, match="AutoencoderKLSim does not exist"):
        diffusers.AutoencoderKL.from_pretrained(tmp_path)
