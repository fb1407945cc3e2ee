"""The theory recipe from end to end on an untrained pipeline and random pictures."""

import json

import pytest
import torch
from PIL import Image

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.estimators import UNet
from pmrf_blocks.restoration import LatentPMRF, PosteriorMean
from pmrf_blocks.transformers import HourglassTransformer, Level

pytest.importorskip("tyro")
pytest.importorskip("matplotlib")

from docs.make import theory


def pipeline(source_noise=0.05):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        levels = (Level(32, 1, kernel_size=3, head_dim=16),)
        velocity = HourglassTransformer(in_channels=4, patch_size=1, levels=levels, mapping_width=16)
        for parameter in velocity.parameters():
            parameter.data.add_(0.05 * torch.randn(parameter.shape))
        return LatentPMRF(
            estimator=UNet(widths=(8, 8), blocks=(1, 1)),
            autoencoder=SimVAE(4, channels=(8, 8), blocks_per_level=1, middle_blocks=1, scaling_factor=0.8),
            velocity=velocity,
            size=16,
            source_noise=source_noise,
            steps=2,
        ).eval()


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data" / "faces256" / "val"
    folder.mkdir(parents=True)
    g = torch.Generator().manual_seed(0)
    for number in range(5):
        pixels = torch.nn.functional.interpolate(torch.rand(1, 3, 4, 4, generator=g), size=(20, 20), mode="bilinear")
        Image.fromarray((255 * pixels[0].permute(1, 2, 0)).byte().numpy()).save(folder / f"{number}.png")
    return tmp_path / "data"


def test_page_figure_and_numbers(data, tmp_path):
    pipeline().save_pretrained(tmp_path / "model")
    arguments = theory.Arguments(
        allow_dirty=True,
        data=data,
        latent=str(tmp_path / "model"),
        output=tmp_path / "out",
        limit=4,
        steps=(1, 2),
        sigmas=(0.1, 3.0),
    )
    theory.main(arguments)
    result = json.loads((tmp_path / "out" / "theory.json").read_text())
    assert result["images"] == 4
    for row in result["theorem_2"]:
        assert row["total"] == pytest.approx(row["reconstruction"] + row["transport"] + 2 * row["inner"], rel=1e-9)
        assert row["distortion"] == pytest.approx(row["irreducible"] + row["total"] + 2 * row["cross"], rel=1e-9)
    first, second = result["theorem_2"]
    assert first["reconstruction"] == second["reconstruction"]
    assert first["transport"] != second["transport"]
    assert result["sources"][0]["perplexity"] < result["sources"][1]["perplexity"] <= 4
    assert result["isometry"]["encoder, two faces"]["pairs"] == 6
    page = (tmp_path / "out" / "theory.md").read_text()
    for row in result["theorem_2"]:
        assert f"| {row['steps']} | {1e3 * row['total']:.2f} | {1e3 * row['reconstruction']:.2f} |" in page
    assert "theory.png" in page
    assert (tmp_path / "out" / "theory.png").read_bytes().startswith(b"\x89PNG")
    again = tmp_path / "again"
    theory.main(theory.Arguments(**{**vars(arguments), "output": again}))
    repeated = json.loads((again / "theory.json").read_text())
    assert repeated["theorem_2"] == result["theorem_2"]
    assert repeated["sources"] == result["sources"]


def test_what_is_decomposed_is_what_restore_gives():
    restorer = pipeline(source_noise=0.0)
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    restored = restorer.restore(images, steps=2)
    vae = theory.maps(restorer)
    terms = theory.decompose(restored.posterior_mean, vae.encode, vae.decode, theory.transport(restorer, 2, seed=0))
    assert torch.allclose(terms.restored, restored.image, atol=1e-6)


def test_other_pipelines_are_refused(data, tmp_path):
    PosteriorMean(estimator=UNet(widths=(8, 8), blocks=(1, 1)), size=16).save_pretrained(tmp_path / "model")
    with pytest.raises(SystemExit, match="PosteriorMean"):
        theory.main(theory.Arguments(data, latent=str(tmp_path / "model"), output=tmp_path / "out", allow_dirty=True))
