"""pyiqa, of which a stand-in is asked: its weights are behind a download."""

import json
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from pmrf_blocks.metrics import Evaluator, Protocol
from pmrf_blocks.metrics.iqa import IQAMetric
from pmrf_blocks.metrics.report import render
from pmrf_blocks.metrics.weights import Unavailable

CPU = torch.device("cpu")


def test_pyiqa_is_asked_by_its_own_names(monkeypatch):
    calls = []

    def create_metric(name, *, device, **options):
        calls.append((name, options))
        if name == "musiq":
            raise OSError("no route to the hub")
        return lambda x, y=None: (x - (0 if y is None else y)).mean()[None, None]

    fake = types.SimpleNamespace(create_metric=create_metric, __version__="0.0")
    monkeypatch.setitem(sys.modules, "pyiqa", fake)
    lpips = IQAMetric("lpips", weights={}, device=torch.device("cpu"))
    x = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(lpips(x, 0 * x), x.double().mean((1, 2, 3)), check_dtype=False)
    assert lpips.identity == "pyiqa 0.0, lpips"
    assert calls == [("lpips", {})]
    with pytest.raises(Unavailable, match=r"pyiqa could not build musiq \(OSError: no route to the hub\)"):
        IQAMetric("musiq", weights={}, device=torch.device("cpu"))
    IQAMetric("clip_iqa", weights={"clip_iqa": __file__}, device=torch.device("cpu"))
    assert calls[-1] == ("clipiqa", {"pretrained_model_path": __file__})
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(Unavailable, match=r"install pmrf-blocks\[iqa\]"):
        IQAMetric("lpips", weights={}, device=torch.device("cpu"))


def test_what_pyiqa_prints_is_kept_off_stdout(tmp_path, monkeypatch, capsys):
    """It prints what it loads when it is built and when it is called, and --format json is read from stdout."""

    def create_metric(name, *, device, **options):
        print(f"Loading pretrained model {name}")

        def call(x, y=None):
            print("computing")
            return x.mean()

        return call

    monkeypatch.setitem(sys.modules, "pyiqa", types.SimpleNamespace(create_metric=create_metric, __version__="0.0"))
    Image.fromarray(np.full((16, 16, 3), 51, np.uint8)).save(tmp_path / "a.png")
    result = Evaluator(Protocol("plain", ("niqe",))).evaluate(tmp_path / "a.png")
    print(render([result], "json", {"resamples": 0, "seed": 0}))
    printed = capsys.readouterr()
    assert json.loads(printed.out)["methods"][0]["scores"]["niqe"]["value"] == pytest.approx(0.2)
    assert "Loading pretrained model niqe" in printed.err
    assert "computing" in printed.err


def test_a_missing_pkg_resources_is_explained(monkeypatch):
    def create_metric(name, *, device, **options):
        raise ModuleNotFoundError("No module named 'pkg_resources'")

    monkeypatch.setitem(sys.modules, "pyiqa", types.SimpleNamespace(create_metric=create_metric))
    with pytest.raises(Unavailable, match="pip install 'setuptools<81', the last with pkg_resources"):
        IQAMetric("clip_iqa", weights={}, device=CPU)


def test_no_images_have_no_values(monkeypatch):
    fake = types.SimpleNamespace(create_metric=lambda name, *, device: lambda x: x.mean(), __version__="0.0")
    monkeypatch.setitem(sys.modules, "pyiqa", fake)
    assert IQAMetric("niqe", weights={}, device=CPU)(torch.zeros(0, 3, 8, 8)).shape == (0,)
