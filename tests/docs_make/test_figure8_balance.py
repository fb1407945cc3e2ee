"""The plot of figure 8, from folders of autoencoders to a PNG and its numbers."""

import json

import pytest
import torch
from PIL import Image

from docs.make.figure8_balance import Arguments, depths, main
from pmrf_blocks.autoencoders import SimVAE

pytest.importorskip("matplotlib")
TINY = {"channels": (8, 16), "blocks_per_level": 1, "middle_blocks": 1}


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        pixels = torch.randint(256, (40, 40, 3), generator=torch.Generator().manual_seed(number), dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(folder / f"{number}.png")
    return folder


def test_folders_become_a_plot_and_numbers(tmp_path, images, capsys):
    for norm in ("layer", "group"):
        SimVAE(4, **TINY, norm=norm).save_pretrained(tmp_path / "small" / norm)
    folders = tuple(str(tmp_path / "small" / norm) for norm in ("layer", "group"))
    output = tmp_path / "plots" / "balance.png"
    main(Arguments(allow_dirty=True, data=images, output=output, models=folders, twins=True, images=3, size=32))
    assert Image.open(output).size[0] > 500
    record = json.loads(output.with_suffix(".json").read_text())
    assert list(record["models"]) == [
        "small/layer, layer norm", "small/group, group norm", "untrained, layer norm", "untrained, group norm",
    ]  # fmt: skip
    layers = record["models"]["small/layer, layer norm"]
    assert all(layer["peak"] >= 1.0 and 0.0 < layer["share"] <= 1.0 for layer in layers)
    page = output.with_suffix(".md").read_text()
    assert capsys.readouterr().out.strip() == page.strip()
    worst = max(layers, key=lambda layer: layer["peak"])
    assert f"{worst['peak']:.2f}, `{worst['layer']}`" in page
    assert "![magnitudes by layer, and of two latents](balance.png)" in page
    assert "They say nothing of what training makes" in page


def test_depth_runs_from_image_to_latent_to_image(tmp_path):
    from pmrf_blocks.autoencoders import Imbalance

    layers = [Imbalance(name, 1.0, 0.01) for name in ("a", "b", "latent", "c", "d", "e", "f")]
    assert depths(layers) == [0.0, 0.25, 0.5, 0.625, 0.75, 0.875, 1.0]


def test_bad_lines_are_one_message(tmp_path, images):
    SimVAE(4, **TINY).save_pretrained(tmp_path / "vae")
    folder = str(tmp_path / "vae")
    with pytest.raises(SystemExit, match="labels must be different and one a model"):
        main(
            Arguments(
                allow_dirty=True, data=images, output=tmp_path / "x.png", models=(folder, folder), labels=("one",)
            )
        )
    with pytest.raises(SystemExit, match="not a hub id"):
        main(Arguments(allow_dirty=True, data=images, output=tmp_path / "x.png", models=(str(tmp_path / "absent"),)))
