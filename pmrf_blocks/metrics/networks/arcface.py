"""The face embedder of VQFR's and PMRF's 'Deg': ArcFace on ResNet-18, in the keys of resnet18_110.pth.

Deng et al., 2019, trained on grey 128x128 crops of CASIA-WebFace; pre-activated residual blocks without
squeeze-and-excitation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pmrf_blocks.metrics.networks.resizing import resize_bytes, to_bytes

SIDE = 128
GREY = (0.299, 0.587, 0.114)  # BT.601, as OpenCV turns colour into grey


class Block(nn.Module):
    """Two 3x3 convolutions, a norm before the first; one PReLU serves both places."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.prelu(self.bn1(self.conv1(self.bn0(x))))
        inner = self.bn2(self.conv2(inner))
        return self.prelu(inner + (x if self.downsample is None else self.downsample(x)))


class ArcFaceResNet18(nn.Module):
    """Embeddings (B, 512) of aligned faces (B, 3, H, W) in [0, 1].

    Prepared as VQFR's script does it: grey of 8 bits, then 128x128 by OpenCV's INTER_LINEAR, then [-1, 1].
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU()
        self.maxpool = nn.MaxPool2d(2)
        self.layer1 = nn.Sequential(Block(64, 64, 1), Block(64, 64, 1))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256, 1))
        self.layer4 = nn.Sequential(Block(256, 512, 2), Block(512, 512, 1))
        self.bn4 = nn.BatchNorm2d(512)
        self.fc5 = nn.Linear(512 * 8 * 8, 512)
        self.bn5 = nn.BatchNorm1d(512)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        grey = torch.einsum("bchw,c->bhw", to_bytes(x), x.new_tensor(GREY).float())[:, None].round()
        return self.features((resize_bytes(grey, SIDE) - 127.5) / 127.5)

    def features(self, x: Tensor) -> Tensor:
        """Of prepared faces (B, 1, 128, 128) in [-1, 1]."""
        x = self.maxpool(self.prelu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.bn5(self.fc5(self.bn4(x).flatten(1)))
