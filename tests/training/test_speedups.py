"""Speed-ups that change nothing: recomputed layers, accumulation, compilation, memory formats."""

import pytest
import torch
from test_tasks import tiny_vae
from torch import nn
from training_toys import (
    Regression,
    darken,
    in_pixels,
    last,
    run,
    weights,
)

from pmrf_blocks.training import AutoencoderTask, FlowTask, PosteriorMeanTask
from pmrf_blocks.training.precision import bfloat16_where
from pmrf_blocks.transformers import HourglassTransformer, Level


class Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, key):
        generator = torch.Generator().manual_seed(key[0])
        return torch.randn(2, 2, 4, 4, generator=generator).unbind()


def flow():
    torch.manual_seed(0)
    levels = (Level(32, 1, head_dim=16), Level(32, 1, attention="global", head_dim=16))
    network = HourglassTransformer(in_channels=2, patch_size=1, levels=levels, mapping_width=16)
    nn.init.normal_(network.patch_out.proj.weight, std=0.1)  # else only the last layer has gradients at first
    return FlowTask(in_pixels(network))


def test_gradient_checkpointing_gives_the_same(tmp_path):
    plain = run(tmp_path / "a", flow(), Pairs(), steps=3, ema=0.0)
    saving = run(tmp_path / "b", flow(), Pairs(), steps=3, ema=0.0, gradient_checkpointing=True)
    assert saving.gradient_checkpointing
    torch.testing.assert_close(weights(plain), weights(saving), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="Sequential has no gradient_checkpointing"):
        run(tmp_path / "c", gradient_checkpointing=True)


def test_bfloat16_keeps_no_copies_of_weights():
    with bfloat16_where(True, torch.device("cpu")):
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16
        assert not torch.is_autocast_cache_enabled()
    with bfloat16_where(False, torch.device("cpu")):
        assert not torch.is_autocast_enabled("cpu")


def test_accumulation_gives_the_same(tmp_path):
    class Plain(Regression):
        def forward(self, batch, generator):
            return (self.network(batch) - batch.sum(1, keepdim=True)).square().mean(), {}

    whole, parts = (run(tmp_path / str(n), Plain(), accumulate=n) for n in (1, 4))
    torch.testing.assert_close(weights(whole), weights(parts), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compilation_gives_the_same_and_keeps_the_names(tmp_path, backend):
    plain = run(tmp_path / "a", steps=3, ema=0.0)
    compiled = run(tmp_path / "b", steps=3, ema=0.0, compile=backend)
    torch.testing.assert_close(weights(plain), weights(compiled), rtol=1e-5, atol=1e-7)
    assert list(last(tmp_path / "a")["network"]) == list(last(tmp_path / "b")["network"])
    run(tmp_path / "b", steps=4, ema=0.0)  # goes on without


def test_what_is_compiled_is_what_the_loss_calls(tmp_path):
    calls = []

    @torch._dynamo.register_backend(name="counting")
    def counting(graph, inputs):
        calls.append(graph)
        return graph.forward

    images = torch.utils.data.TensorDataset(torch.zeros(4, 3, 8, 8, dtype=torch.uint8))

    class Images(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, key):
            return images[key[0]][0]

    run(tmp_path, AutoencoderTask(tiny_vae()), Images(), steps=1, compile="counting")
    assert len(calls) >= 2  # encoder and decoder, although the loss calls encode() and decode()
    with pytest.raises(ValueError, match=r"compile must be one of .*'eager'.*; got 'fast'"):
        run(tmp_path / "b", compile="fast")


def convolution(folder, **options):
    torch.manual_seed(0)
    task = PosteriorMeanTask(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.SiLU(), nn.Conv2d(4, 3, 3, padding=1)), darken
    )

    class Noise(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, key):
            generator = torch.Generator().manual_seed(key[0])
            return torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8, generator=generator)

    return run(folder, task, Noise(), steps=4, validation=Noise(), **options)


def test_channels_last_gives_the_same(tmp_path):
    last_, first = (convolution(tmp_path / str(on), channels_last=on) for on in (True, False))
    assert last_[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert first[0].weight.is_contiguous()
    torch.testing.assert_close(weights(last_), weights(first), rtol=1e-4, atol=1e-6)
