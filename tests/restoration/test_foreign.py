"""Networks of other projects: what they are shown, their own numbers, and whole ways from a file to rows."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from pmrf_blocks.cli import main
from pmrf_blocks.experiments.fitting import load_published
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import ForeignNetwork, PosteriorMean, foreign, load_restorer
from pmrf_blocks.restoration.aligned import resize_to
from recipes import posterior_mean


@pytest.fixture
def spandrel():
    return pytest.importorskip(
        "spandrel", reason="spandrel is not installed: pip install pmrf-blocks[background]", exc_type=Exception
    )


def small(name):
    """A small network of one of spandrel's architectures with random weights, and what it makes of [0, 1]."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "Compact":
            from spandrel.architectures.Compact import Compact

            return Compact(num_feat=8, num_conv=2, upscale=2).eval()
        if name == "ESRGAN":
            from spandrel.architectures.ESRGAN import ESRGAN

            return ESRGAN(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=4).eval()
        if name == "SwinIR":
            from spandrel.architectures.SwinIR import SwinIR

            shape = {"depths": (1,), "num_heads": (2,), "embed_dim": 12, "window_size": 8, "mlp_ratio": 2.0}
            return SwinIR(img_size=64, upscale=1, upsampler="", resi_connection="1conv", img_range=1.0, **shape).eval()
        from spandrel.architectures.RestoreFormer import RestoreFormer

        widths = {"n_embed": 8, "embed_dim": 32, "ch": 32, "ch_mult": (1, 1, 1, 1, 1, 1), "z_channels": 32}
        return RestoreFormer(num_res_blocks=1, attn_resolutions=(16,), resolution=512, head_size=8, **widths).eval()


@pytest.fixture
def saved(spandrel, tmp_path):
    def save(name):
        path = tmp_path / f"{name}.pth"
        torch.save({"params_ema": small(name).state_dict()}, path)
        return path

    return save


class Shown(nn.Module):
    """Gives noise around what it is shown, and keeps that."""

    def forward(self, x):
        self.seen = x
        return x + 0.1 * torch.randn_like(x), None


@pytest.mark.parametrize("name", ["GFPGAN", "CodeFormer"])
def test_faces_are_shown_as_their_authors_show_them(monkeypatch, generator, name):
    network = Shown()
    descriptor = SimpleNamespace(model=network, architecture=SimpleNamespace(id=name), purpose="FaceSR")
    monkeypatch.setattr(foreign, "read_network", lambda path, **options: descriptor)
    images = torch.rand(2, 3, 48, 40, generator=generator)
    state = torch.get_rng_state()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        restored = ForeignNetwork("net.pth")(images)
    assert torch.equal(torch.get_rng_state(), state)
    assert network.seen.shape == (1, 3, 512, 512)
    torch.testing.assert_close(network.seen[0], 2 * resize_to(images[1], 512, 512) - 1)
    assert restored.shape == images.shape
    assert restored.dtype == torch.float32
    with torch.random.fork_rng():
        torch.manual_seed(0)
        noise = torch.randn(1, 3, 512, 512)[0]
    expected = [resize_to((resize_to(x, 512, 512) + 0.05 * noise).clamp(0, 1), 48, 40) for x in images]
    torch.testing.assert_close(restored, torch.stack(expected), rtol=0, atol=1e-6)
    assert torch.equal(ForeignNetwork("net.pth")(images[1:]), restored[1:])  # whatever else is in the batch


@pytest.mark.parametrize("name", ["Compact", "ESRGAN", "SwinIR", "RestoreFormer"])
@torch.no_grad()
def test_the_numbers_are_the_networks(saved, generator, monkeypatch, name):
    monkeypatch.setattr(foreign, "FACE", 64)
    side = 64 if name == "RestoreFormer" else 32
    x = torch.rand(1, 3, side, side, generator=generator)
    y = small(name)(2 * x - 1)[0] / 2 + 0.5 if name == "RestoreFormer" else small(name)(x)
    expected = resize_to(y[0].clamp(0, 1), side, side)
    network = ForeignNetwork(saved(name))
    assert network.architecture == name
    restored = network(x)
    torch.testing.assert_close(restored[0], expected, rtol=0, atol=1e-5)
    assert float(restored.std()) > 0.001
    assert not restored.is_inference()  # a flow can be trained from it
    assert network(x[..., :21, :29]).shape == (1, 3, 21, 29)  # no multiple of anything


@pytest.mark.parametrize("name", ["Compact", "ESRGAN", "SwinIR"])
def test_a_pipeline_with_it_is_saved_and_found_again(saved, tmp_path, generator, name):
    pipeline = load_restorer(saved(name))
    assert isinstance(pipeline, PosteriorMean)
    assert pipeline.size == 512
    x = torch.rand(1, 3, 32, 40, generator=generator)
    pipeline.save_pretrained(tmp_path / "saved")
    again = load_restorer(tmp_path / "saved", optimize=True)
    torch.testing.assert_close(again.restore(x).image, pipeline.restore(x).image, rtol=0, atol=1e-5)
    config = tmp_path / "saved" / "estimator" / "config.json"
    config.write_text(json.dumps({"class": "ForeignNetwork", "architecture": "GFPGAN"}))
    with pytest.raises(WeightsError, match="speaks of 'GFPGAN'; the weights are of"):
        load_restorer(tmp_path / "saved")


def test_a_file_is_an_estimator_of_a_recipe(saved, generator):
    path = str(saved("Compact"))
    x = torch.rand(1, 3, 32, 32, generator=generator)
    assert torch.equal(load_published(posterior_mean.debug(), path)(x), ForeignNetwork(path)(x))


def test_from_a_file_to_rows_of_evaluate(saved, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(foreign, "FACE", 64)
    (tmp_path / "gt").mkdir()
    for seed in range(2):
        pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 64)).save(tmp_path / "gt" / f"{seed}.png")
    path = str(saved("Compact"))
    assert main(["restore", "gt", "--aligned", "--model", path, "--size", "64", "-o", "theirs"]) == 0
    line = ["evaluate", "theirs", "--reference", "gt", "--metrics", "psnr", "--format", "json", "--bootstrap", "0"]
    capsys.readouterr()
    assert main(line) == 0
    (row,) = json.loads(capsys.readouterr().out)["methods"]
    assert row["method"] == "theirs"
    assert row["scores"]["psnr"]["value"] > 5


def test_what_is_no_network_is_one_line(spandrel, tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "net.safetensors")
    for read in (ForeignNetwork, load_restorer, lambda path: load_published(posterior_mean.debug(), str(path))):
        with pytest.raises(WeightsError, match="no network that spandrel knows") as refused:
            read(tmp_path / "net.safetensors")
        assert "\n" not in str(refused.value)


def test_without_spandrel_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    save_file({"weight": torch.zeros(3)}, tmp_path / "net.safetensors")
    with pytest.raises(WeightsError, match=r"needs spandrel: install pmrf-blocks\[background\]"):
        ForeignNetwork(tmp_path / "net.safetensors")
    with pytest.raises(WeightsError, match=r"no key starts with 'mmse_model.'; .* needs spandrel"):
        load_restorer(tmp_path / "net.safetensors")
