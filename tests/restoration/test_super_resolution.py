"""Backgrounds enlarged by a network that spandrel reads: the network's own numbers, without seams."""

import pytest
import torch
from safetensors.torch import save_file
from told_faces import Brighter, Told

from pmrf_blocks.images import LoadedImage
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import SuperResolution, restore_photograph
from pmrf_blocks.restoration.backgrounds import OVERLAP, TILE, resize_lanczos

pytest.importorskip(
    "spandrel", reason="spandrel is not installed: pip install pmrf-blocks[background]", exc_type=Exception
)


@pytest.fixture
def network():
    """A small network of Real-ESRGAN's compact architecture that doubles its input."""
    from spandrel.architectures.Compact import Compact

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Compact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=2).eval()


@pytest.fixture
def file(network, tmp_path):
    path = tmp_path / "net.safetensors"
    save_file(network.state_dict(), path)
    return path


@torch.no_grad()
def test_the_numbers_are_the_networks(network, file, generator):
    image = torch.rand(3, 40, 52, generator=generator)
    expected = network(image[None])[0].clamp(0, 1)
    torch.testing.assert_close(SuperResolution(file)(image, 2), expected, rtol=0, atol=1e-6)
    four = SuperResolution(file)(image, 4)
    torch.testing.assert_close(four, resize_lanczos(expected, 160, 208), rtol=0, atol=1e-5)


@torch.no_grad()
def test_tiles_leave_no_seams(network, file, generator):
    image = torch.rand(3, 24, TILE + OVERLAP + 40, generator=generator)
    expected = network(image[None])[0].clamp(0, 1)
    torch.testing.assert_close(SuperResolution(file)(image, 2), expected, rtol=0, atol=1e-5)


def test_faces_are_pasted_on_the_enlarged_background(file, generator):
    photograph = LoadedImage(torch.rand(3, 96, 120, generator=generator))
    enlarge = SuperResolution(file)
    restored = restore_photograph(
        Brighter(0.1), photograph, Told((50, 48, 40)), upscale=2, background=enlarge, min_change=0
    )
    outside = (restored.mask == 0).expand_as(restored.background)
    assert torch.equal(restored.background, enlarge(photograph.pixels, 2))
    assert torch.equal(restored.result.pixels[outside], restored.background[outside])
    assert not torch.equal(restored.result.pixels, restored.background)


def test_what_is_no_network_is_one_line(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="no network that spandrel knows") as refused:
        SuperResolution(path)
    assert "\n" not in str(refused.value)
