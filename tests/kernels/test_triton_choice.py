"""Triton's kernels are taken by name, where they fit, and give what the layers' formulas give."""

import pytest
import torch

from pmrf_blocks.attention import available_backends, backends, resolve_backend
from pmrf_blocks.autoencoders import SDVAE
from pmrf_blocks.kernels import autoencoders, choice, optimize, transformers
from pmrf_blocks.transformers import HourglassTransformer, Level

pytest.importorskip("triton", reason="triton is not installed")


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_networks_take_the_kernels_where_they_fit(monkeypatch):
    """On CUDA where they are asked for; here made to, in the interpreter."""
    if not choice.interpreted():
        pytest.skip("the GPU is tested instead")
    level = Level(16, 1, head_dim=16, kernel_size=3, ff_ratio=1)
    torch.manual_seed(0)
    models = [
        HourglassTransformer(in_channels=1, levels=(level,), patch_size=1, cosine=True, backend=backend,
                             mapping_width=16, mapping_depth=1)
        for backend in ("dense", "triton")
    ]  # fmt: skip
    for p in models[0].parameters():
        torch.nn.init.normal_(p, std=0.3) if p.ndim > 1 else p.data.abs_()
    models[1].load_state_dict(models[0].state_dict())
    vae = SDVAE(latent_channels=2, channels=(8, 8), blocks_per_level=1, norm="layer")
    x = random(1, 1, 4, 5)
    image = random(1, 3, 4, 4)
    expected = [models[0](x, 0.5), vae(image)]
    calls = []
    optimize(vae, triton=True)
    for module in (transformers, autoencoders):
        monkeypatch.setattr(module, "fits", lambda *tensors: calls.append(len(tensors)) is None)
    assert len(optimize(models[1], triton=True).swapped) >= 10
    ours = [models[1](x, 0.5), vae(image)]
    assert len(calls) > 10
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    gradients = [torch.autograd.grad(m(x, 0.5).square().sum(), list(m.parameters()), allow_unused=True) for m in models]
    for fused, eager in zip(*reversed(gradients)):
        assert (fused is None) == (eager is None)
        if eager is not None:
            torch.testing.assert_close(fused, eager, rtol=1e-3, atol=1e-4 * float(eager.abs().max()))


def test_choice(monkeypatch):
    assert resolve_backend("triton") == "triton"
    assert choice.why_unavailable() == available_backends()["triton"]
    reasons = available_backends()
    for missing, chosen in (((), "natten"), (("natten",), "tiled"), (("natten", "triton"), "tiled")):
        there = {name: "missing" if name in missing else None for name in reasons}
        monkeypatch.setattr(backends, "available_backends", lambda there=there: there)
        assert resolve_backend("auto", "cuda") == chosen
        assert resolve_backend("auto", "cpu") == "tiled"
    monkeypatch.setattr(backends, "why_missing", lambda name: "not installed")
    with pytest.raises(ImportError, match="backend 'triton': not installed"):
        resolve_backend("triton")
