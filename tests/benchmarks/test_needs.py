"""What work needs is counted as its formulas have it, not as a backend does it."""

import torch
from torch import nn

from benchmarks import training_step, transformer
from benchmarks.attention import HEADS, WIDTH
from benchmarks.attention import need as attention_need
from benchmarks.comparison import Settings
from benchmarks.needs import count, windows_alone
from pmrf_blocks.attention import neighborhood_attention_2d
from pmrf_blocks.autoencoders.resize import NearestUpsample
from pmrf_blocks.transformers import HourglassTransformer, Level

TINY = Settings(torch.device("cpu"), tiny=True, repetitions=3, seconds=0.2)


def test_a_convolution_is_counted():
    need = count(lambda: nn.Conv2d(4, 6, 3, padding=1, bias=False), lambda layer, x: layer(x), 2, 4, 5, 7)
    assert need.operations == 2 * (2 * 6 * 5 * 7) * (4 * 9)
    assert need.traffic == 4 * (6 * 4 * 9 + 2 * 4 * 5 * 7 + 2 * 6 * 5 * 7)
    twice = need + 2 * need
    assert (twice.operations, twice.traffic) == (3 * need.operations, 3 * need.traffic)


def test_neighborhood_attention_is_counted_without_what_is_masked():
    kernel, size = 5, 20

    def attend(layer, x):
        return neighborhood_attention_2d(x, x, x, kernel, backend=windows_alone)

    need = count(nn.Identity, attend, 1, size, size, HEADS, WIDTH)
    assert need.operations == attention_need(size, kernel, torch.float32, backward=False).operations


def test_a_network_takes_the_windows_alone_whatever_its_kernel_costs():
    def operations(kernel):
        def build():
            return HourglassTransformer(levels=(Level(64, 1, kernel_size=kernel),), mapping_width=32)

        return count(build, lambda network, x: network(x, 0.5), 1, 3, 96, 96).operations

    assert operations(7) - operations(5) == 4 * 24 * 24 * 64 * (49 - 25)


def test_a_training_step_needs_three_forward_passes():
    need = training_step.need(2, 16, TINY, torch.float32)
    forward = count(
        lambda: training_step.architecture(TINY), lambda network, x: network(x, 0.5), 2, training_step.LATENT, 16, 16
    )
    assert need.operations == 3 * forward.operations
    assert need.traffic > 6 * 4 * sum(p.numel() for p in training_step.architecture(TINY).parameters())
    assert transformer.need(64, TINY, torch.bfloat16).traffic == transformer.need(64, TINY, torch.float32).traffic / 2


def test_upsampling_is_counted_as_the_convolutions_that_it_comes_to():
    need = count(lambda: NearestUpsample(4, 6), lambda layer, x: layer(x), 1, 4, 10, 8)
    assert need.operations == 4 * (2 * 6 * 10 * 8) * (4 * 4)
    whole = count(
        lambda: nn.Sequential(nn.Conv2d(3, 4, 1), NearestUpsample(4, 6)), lambda layer, x: layer(x), 1, 3, 10, 8
    )
    assert whole.operations == need.operations + 2 * (4 * 10 * 8) * 3
