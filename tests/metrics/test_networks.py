"""Networks of published weight files: on random weights in the published key layout.

The files themselves are not here. Each network was held once against the authors' own code on such weights (ArcFace
and DINOv2 agree bit for bit); these tests keep keys, shapes, preparation and loading as they were then.
"""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from pmrf_blocks.metrics.networks import ArcFaceResNet18, AWingHourglass, DINOv2, FIDInceptionV3
from pmrf_blocks.metrics.networks.awing import peaks
from pmrf_blocks.metrics.networks.resizing import resize_bytes, resize_tensorflow
from pmrf_blocks.metrics.registry import build_extractor
from pmrf_blocks.metrics.weights import Unavailable, fill, locate, read_state

CPU = torch.device("cpu")


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_published_keys_and_sizes():
    with torch.device("meta"):
        networks = [FIDInceptionV3(), DINOv2(), ArcFaceResNet18(), AWingHourglass()]
    inception, dinov2, arcface, awing = (network.state_dict() for network in networks)
    assert [count(network) for network in networks] == [21_785_568, 304_368_640, 25_627_081, 24_153_036]
    assert inception["Mixed_6e.branch7x7dbl_5.conv.weight"].shape == (192, 192, 1, 7)
    assert inception["Mixed_7c.branch3x3dbl_3b.bn.running_var"].shape == (384,)
    assert dinov2["pos_embed"].shape == (1, 1370, 1024)
    assert dinov2["blocks.23.attn.qkv.weight"].shape == (3072, 1024)
    assert dinov2["blocks.23.ls2.gamma"].shape == (1024,)
    assert arcface["layer2.0.downsample.1.running_mean"].shape == (128,)
    assert arcface["layer4.1.prelu.weight"].shape == (1,)
    assert arcface["fc5.weight"].shape == (512, 32768)
    assert awing["m0.coordconv.conv.weight"].shape == (256, 259, 1, 1)
    assert awing["m1.coordconv.conv.weight"].shape == (256, 261, 1, 1)
    assert awing["m3.b2_plus_1.conv3.weight"].shape == (64, 64, 3, 3)
    assert awing["l3.weight"].shape == (99, 256, 1, 1)
    assert {"bl2.weight", "al2.weight"} <= set(awing)
    assert not {"bl3.weight", "al3.weight"} & set(awing)


def test_bilinear_is_opencvs_and_bicubic_is_pillows(generator):
    x = torch.randint(0, 256, (64, 48, 3), generator=generator, dtype=torch.uint8)
    planes = x.permute(2, 0, 1)[None].float()
    ours = resize_bytes(planes, 17)[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - cv2.resize(x.numpy(), (17, 17), interpolation=cv2.INTER_LINEAR)).max() <= 1
    ours = resize_bytes(planes, 17, mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()
    theirs = np.asarray(Image.fromarray(x.numpy()).resize((17, 17), Image.Resampling.BICUBIC))
    assert np.abs(ours - theirs).max() <= 1


def test_tensorflows_bilinear_reads_at_multiples_of_the_ratio():
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    assert resize_tensorflow(ramp, 4)[0, 0, 0].tolist() == [0.0, 2.0, 4.0, 6.0]
    assert resize_tensorflow(ramp, 5)[0, 0, 0].tolist() == pytest.approx([0.0, 1.6, 3.2, 4.8, 6.4])
    up = resize_tensorflow(ramp[..., :2, :2], 4)[0, 0, 0]
    assert up.tolist() == [0.0, 0.5, 1.0, 1.0]  # the last one has no neighbour


def test_dinov2_interpolates_positions_and_takes_the_class_token(generator):
    network = DINOv2(width=64, depth=2, heads=1, grid=5)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    again = DINOv2.shaped_like(network.state_dict())
    again.load_state_dict(network.state_dict())
    x = torch.rand(2, 3, 30, 40, generator=generator)
    torch.testing.assert_close(again(x), network(x))
    assert network(x).shape == (2, 64)
    assert network._positions(5, 5) is network.pos_embed
    token, patches = network._positions(16, 16).split((1, 256), 1)
    assert torch.equal(token, network.pos_embed[:, :1])
    low, high = network.pos_embed[:, 1:].min(), network.pos_embed[:, 1:].max()
    assert low - 0.1 < patches.min() < patches.max() < high + 0.1
    with pytest.raises(ValueError, match="not the state of a DINOv2"):
        DINOv2.shaped_like({})


def test_peaks_of_heatmaps():
    heatmaps = torch.zeros(1, 2, 8, 8)
    heatmaps[0, 0, 3, 5], heatmaps[0, 0, 3, 6], heatmaps[0, 0, 2, 5] = 1.0, 0.5, 0.2
    heatmaps[0, 1, 7, 0] = 1.0  # a corner: no neighbour outside
    found = peaks(heatmaps)
    assert found[0, 0].tolist() == [5.75, 3.25]
    assert found[0, 1].tolist() == [0.25, 7.75]


def scripts_peaks(heatmaps):
    """Of one image (K, 64, 64), from the description of VQFR's script: one flat index, whole images at the border."""
    flat = heatmaps.flatten(1).numpy()
    rows, index = np.arange(len(flat)), flat.argmax(1)
    lower = flat[rows, 4095] if (index + 64 >= 4096).any() else flat[rows, index + 64]
    upper = flat[rows, 0] if (index - 64 <= 0).any() else flat[rows, index - 64]
    shift = np.sign(np.stack((flat[rows, index + 1] - flat[rows, index - 1], lower - upper), 1))
    return np.stack((index % 64, index // 64), 1) + 0.25 * shift + 0.5


def test_peaks_as_the_scripts_have_them(generator):
    heatmaps = torch.rand(4, 5, 64, 64, generator=generator)
    for image, (row, column) in enumerate([(30, 20), (63, 10), (0, 30), (12, 63)]):
        heatmaps[image, 0, row, column] = 2.0
    found = peaks(heatmaps, script_borders=True)
    for image in range(4):
        np.testing.assert_allclose(found[image].numpy(), scripts_peaks(heatmaps[image]))
    ours = peaks(heatmaps)
    assert torch.equal(ours[0], found[0])  # no peak at the border: no difference
    assert not torch.equal(ours[1], found[1])


def test_a_small_hourglass_finds_points_in_pixels_of_the_image(generator):
    network = AWingHourglass(stacks=2, width=64, landmarks=3)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    points = network(torch.rand(1, 3, 96, 64, generator=generator))
    assert points.shape == (1, 3, 2)
    assert bool((points >= 0).all())
    assert bool((points[..., 0] <= 64).all() & (points[..., 1] <= 96).all())


def test_arcface_file_as_published(tmp_path, generator):
    """DataParallel's prefix, and the digest of the weights in the extractor's identity."""
    network = ArcFaceResNet18()
    path = tmp_path / "resnet18_110.pth"
    torch.save({f"module.{key}": value for key, value in network.state_dict().items()}, path)
    extractor = build_extractor("arcface", weights={"arcface": str(path)}, device=CPU)
    x = torch.rand(1, 3, 64, 64, generator=generator)
    assert torch.equal(extractor.run(x), network(x).detach())
    assert extractor.identity.startswith("arcface, grey, bilinear to 128, weights ")
    assert len(extractor.identity.rsplit(" ", 1)[1]) == 8
    with pytest.raises(Unavailable, match=r"lacks \d+ keys of AWingHourglass, the first conv1.conv.weight"):
        build_extractor("awing", weights={"awing": str(path)}, device=CPU)


def test_files_that_do_not_serve(tmp_path):
    with pytest.raises(Unavailable, match=r"give the file resnet18_110.pth \(--weights arcface=FILE"):
        build_extractor("arcface", weights={}, device=CPU)
    with pytest.raises(Unavailable, match="no such file: nowhere"):
        locate("arcface", {"arcface": "nowhere.pth"}, "x")
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"no weights")
    with pytest.raises(Unavailable, match="cannot be read"):
        read_state(broken)
    torch.save([1, 2], broken)
    with pytest.raises(Unavailable, match="does not hold a state dict"):
        read_state(broken)
    small = DINOv2(width=384, depth=1, heads=6, grid=2)
    torch.save({"model": small.state_dict()}, broken)
    with pytest.raises(Unavailable, match="of width 384; these metrics are of ViT-L/14"):
        build_extractor("dinov2", weights={"dinov2": str(broken)}, device=CPU)


def test_old_files_lack_counters_and_may_hold_a_head(tmp_path):
    layer = torch.nn.Sequential(torch.nn.BatchNorm2d(2))
    state = {k: v for k, v in layer.state_dict().items() if "num_batches" not in k}
    fill(layer, {**state, "fc.weight": torch.zeros(3)}, tmp_path, unused=("fc.",))
    with pytest.raises(Unavailable, match=r"has unknown 1 keys of Sequential, the first fc.weight"):
        fill(layer, {**state, "fc.weight": torch.zeros(3)}, tmp_path)
    with pytest.raises(Unavailable, match=r"lacks 1 keys of Sequential, the first 0.bias"):
        fill(layer, {k: v for k, v in state.items() if k != "0.bias"}, tmp_path)
