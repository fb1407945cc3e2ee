"""Parts and networks of one's own, as somebody who builds on the package would write them."""

import torch
from torch import nn

from pmrf_blocks.pretrained import Pretrained


class BlendedSource(nn.Module):
    """Between the posterior mean and the degraded image."""

    def __init__(self, estimator, share=0.5):
        super().__init__()
        self.estimator, self.share = estimator, share

    def forward(self, degraded, space):
        mean = space.estimate(self.estimator, degraded)
        return space.encode(torch.lerp(degraded, mean, self.share))


class LearnedSource(nn.Module, Pretrained):
    """A source with weights of its own."""

    def __init__(self, width=4):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, degraded, space):
        return space.encode(self.layers(degraded).sigmoid())


class Estimator(nn.Module, Pretrained):
    """A network of one's own."""

    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.conv(x)


class ForgetfulSource(nn.Module):
    """Does not keep its argument."""

    def __init__(self, estimator):
        super().__init__()
        self.net = estimator

    def forward(self, degraded, space):
        return space.encode(self.net(degraded))


class WeightySource(nn.Module):
    """Has weights, and nothing to save them with."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, degraded, space):
        return space.encode(degraded + self.shift)
