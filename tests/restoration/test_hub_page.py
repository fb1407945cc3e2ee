"""The Python of docs/hub.md runs as written, in its order, with a hub on the disk."""

import re
from pathlib import Path

import pytest
import torch
from fake_hub import FakeHub
from safetensors.torch import load_file
from small_pipelines import latent_pmrf, seeded, vae

from pmrf_blocks.autoencoders import SDVAE, save_diffusers
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import load_restorer, loading

PAGE = Path(__file__).resolve().parents[2] / "docs" / "hub.md"
TOKEN = "hf_..."


def test_the_page_runs_as_written(tmp_path, monkeypatch):
    hub = FakeHub(tmp_path / "of_the_hub", token=TOKEN).install(monkeypatch)
    monkeypatch.chdir(tmp_path)
    model = latent_pmrf()
    model.save_pretrained(tmp_path / "small")
    monkeypatch.setitem(loading.SHIPPED, "bundled", tmp_path / "small")  # quicker than 38 MB
    model.push_to_hub("you/restorer")
    model.push_to_hub("you/restorer", dtype=torch.float16, variant="fp16")
    latent_pmrf(steps=7).push_to_hub("you/restorer", revision="v1.0")
    model.push_to_hub("you/unpublished", private=True, token=TOKEN)
    vae().push_to_hub("you/autoencoder")
    both = hub.folder / "hub/you/both/main"
    model.save_pretrained(both)
    latent_pmrf(steps=9).save_pretrained(both / "pixel", shared=("estimator",))
    diffusers = seeded(SDVAE, latent_channels=4, norm_groups=4, channels=(8,), blocks_per_level=1)
    save_diffusers(diffusers, hub.folder / "hub/stabilityai/stable-diffusion-xl-base-1.0/main/vae")
    scope = {"images": torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 9
    for block in blocks[:-2]:
        exec(compile(block, str(PAGE), "exec"), scope)
    assert type(scope["autoencoder"]) is SDVAE
    assert scope["restorer"].steps == 7  # of the revision
    assert scope["pixel"].steps == 9
    assert torch.equal(
        scope["estimator"].state_dict()["conv_out.weight"], model.estimator.state_dict()["conv_out.weight"]
    )
    for block in blocks[-2:]:
        exec(compile(block, str(PAGE), "exec"), scope)
    assert "license: mit" in (tmp_path / "carded/README.md").read_text()
    again = load_restorer("you/shared", variant="fp16", token=TOKEN)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.half().float())
    assert load_restorer("you/shared", revision="experiment", token=TOKEN).size == 16
    with pytest.raises(WeightsError, match="401"):
        load_restorer("you/shared")
    assert (
        load_file(hub.folder / "hub/you/shared-autoencoder/main/model.safetensors").keys() == vae().state_dict().keys()
    )
