"""Inception's features and resampling against torch-fidelity's, on random weights in the published layout.

It is no requirement of the tests: it asks for torchvision, and installs a package called tests. Two of its modules are
loaded here without the rest: pip install --no-deps torch-fidelity.
"""

import importlib
import importlib.util
import sys
import types

import pytest
import torch

from pmrf_blocks.metrics.networks import FIDInceptionV3
from pmrf_blocks.metrics.networks.resizing import resize_tensorflow


@pytest.fixture
def fidelity(monkeypatch):
    found = importlib.util.find_spec("torch_fidelity")
    if found is None:
        pytest.skip("torch-fidelity is not installed")
    package = types.ModuleType("torch_fidelity")
    package.__path__ = list(found.submodule_search_locations)
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    yield lambda name: importlib.import_module(f"torch_fidelity.{name}")
    for name in [name for name in sys.modules if name.startswith("torch_fidelity.")]:
        del sys.modules[name]


@pytest.mark.parametrize("size", [(40, 60), (299, 299), (512, 300)])
def test_resampling_is_torch_fidelitys(fidelity, size, generator):
    x = torch.randint(0, 256, (1, 3, *size), generator=generator).float()
    theirs = fidelity("interpolate_compat_tensorflow").interpolate_bilinear_2d_like_tensorflow1x
    expected = theirs(x, size=(299, 299), align_corners=False)
    torch.testing.assert_close(resize_tensorflow(x, 299), expected, rtol=0, atol=1e-3)


def test_features_are_torch_fidelitys(fidelity, tmp_path, generator):
    ours = FIDInceptionV3()
    with torch.no_grad():
        for name, value in ours.state_dict().items():
            if value.ndim == 4:
                value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
            elif name.endswith(("running_var", "bn.weight")):
                value.uniform_(0.5, 1.5, generator=generator)
            elif value.is_floating_point():
                value.normal_(0, 0.1, generator=generator)
    head = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    torch.save({**ours.state_dict(), **head}, tmp_path / "inception.pth")
    theirs = fidelity("feature_extractor_inceptionv3").FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(tmp_path / "inception.pth")
    )
    x = torch.randint(0, 256, (2, 3, 80, 64), generator=generator, dtype=torch.uint8)
    (expected,) = theirs(x)
    found = ours(x.float() / 255).detach()
    assert float(expected.std()) > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.std()))
