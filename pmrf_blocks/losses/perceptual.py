"""Perceptual loss: distance of two images in the feature maps of a frozen network (Johnson et al., 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from pmrf_blocks.losses.features import EfficientNetLiteFeatures, FeatureNetwork, VGG19Features

# Real-ESRGAN's weighting (Wang et al., 2021b), which appendix B.2 follows.
REAL_ESRGAN_WEIGHTS = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}


class PerceptualLoss(nn.Module):
    """Weighted sum over layers of the mean L1 distance of feature maps; a scalar.

    Arguments:
        features: a frozen network; VGG19Features with REAL_ESRGAN_WEIGHTS is the paper's loss.
        weights: weight of each layer by name; layers left out do not count. None weighs all with 1.
        relative: divide each layer's distance by the mean magnitude of the target's map, so that layers of
            any network weigh alike without tuning. The paper's loss does not.

    Input and target are RGB in [0, 1], (B, 3, H, W); gradients flow to the input alone. Raises ValueError for layers
    that the network has not, and for images of two shapes.

    Examples:
        >>> class Edges(FeatureNetwork):
        ...     layers = ("edges",)
        ...     def forward(self, images):
        ...         return [images.diff(dim=-1)]
        >>> PerceptualLoss(Edges(), {"edges": 1.0})(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
        tensor(0.)
    """

    def __init__(
        self, features: FeatureNetwork, weights: Mapping[str, float] | None = None, *, relative: bool = False
    ) -> None:
        super().__init__()
        self.features = features
        self.relative = relative
        self.weights = dict.fromkeys(features.layers, 1.0) if weights is None else dict(weights)
        unknown = [name for name in self.weights if name not in features.layers]
        if unknown:
            raise ValueError(f"layers must be among {', '.join(map(repr, features.layers))}; got {unknown}")

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        if x.shape != target.shape:
            raise ValueError(f"images must have one shape; got {tuple(x.shape)} and {tuple(target.shape)}")
        ours, theirs = self.features(x), self.features(target.detach())
        total = x.new_zeros(())
        for name, a, b in zip(self.features.layers, ours, theirs):
            if name in self.weights:
                distance = (a - b).abs().float().mean()
                total = total + self.weights[name] * (distance / b.abs().float().mean() if self.relative else distance)
        return total


def perceptual_loss(
    name: str, *, vgg19: Path | None = None, weights: Mapping[str, float] | None = None
) -> PerceptualLoss | None:
    """The perceptual loss that a configuration names.

    Arguments:
        name: 'vgg19' (the paper's, appendix B.2), 'efficientnet-lite1' (whose weights a package carries) or 'none'.
        vgg19: torchvision's vgg19 .pth file.
        weights: of the layers, as PerceptualLoss takes them; None: REAL_ESRGAN_WEIGHTS of VGG-19, 1 of the other's.

    Raises ValueError for another name or layer, and where VGG-19's weights are needed and not given.

    Examples:
        >>> perceptual_loss("none") is None
        True
    """
    if name == "none":
        return None
    if name == "efficientnet-lite1":
        return PerceptualLoss(EfficientNetLiteFeatures(), weights, relative=True)
    if name != "vgg19":
        raise ValueError(f"perceptual must be one of 'vgg19', 'efficientnet-lite1', 'none'; got {name!r}")
    if vgg19 is None:
        raise ValueError(
            "the perceptual loss needs torchvision's VGG-19 (IMAGENET1K_V1): download "
            "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth and pass --vgg19 FILE"
        )
    return PerceptualLoss(VGG19Features(vgg19), REAL_ESRGAN_WEIGHTS if weights is None else weights)
