"""pyiqa, of which a stand-in is asked: its weights are behind a download."""

import json
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut, chelsea, coffee

from pmrf_blocks.cli import main
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
    Image.fromarray(np.full((96, 192, 3), 51, np.uint8)).save(tmp_path / "a.png")
    result = Evaluator(Protocol("plain", ("niqe",))).evaluate(tmp_path / "a.png")
    print(render([result], "json", {"resamples": 0, "seed": 0}))
    printed = capsys.readouterr()
    assert json.loads(printed.out)["methods"][0]["scores"]["niqe"]["value"] == pytest.approx(0.2, abs=1e-4)
    assert "Loading pretrained model niqe" in printed.err
    assert "computing" in printed.err


@pytest.fixture
def parameters(tmp_path):
    """A file like basicsr's, of made-up numbers."""
    path, numbers = tmp_path / "niqe_pris_params.npz", np.random.default_rng(0)
    factor = numbers.normal(size=(36, 36))
    np.savez(path, mu_pris_param=numbers.normal(size=(1, 36)), cov_pris_param=factor @ factor.T + np.eye(36))
    return path


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, pixels in (("astronaut", astronaut()), ("chelsea", chelsea())):
        Image.fromarray(pixels[:200, :300]).save(folder / f"{name}.png")
    return folder


def pyiqa_of(path, **options):
    """The package's own metric, of a .mat file."""
    pyiqa = pytest.importorskip(
        "pyiqa", reason="pyiqa is not installed: pip install pmrf-blocks[iqa]", exc_type=Exception
    )
    return pyiqa.create_metric("niqe", device=CPU, pretrained_model_path=str(path), **options)


def as_mat(npz, path):
    from scipy.io import savemat

    with np.load(npz) as arrays:
        savemat(path, {"mu_prisparam": arrays["mu_pris_param"], "cov_prisparam": arrays["cov_pris_param"]})
    return path


def test_niqe_takes_the_parameters_of_either_package(parameters, pictures, tmp_path, capsys):
    mat = as_mat(parameters, tmp_path / "niqe.mat")
    theirs = pyiqa_of(mat)
    expected = [
        float(theirs(torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None].float() / 255.0))
        for path in sorted(pictures.iterdir())
    ]
    digests = set()
    for path in (mat, parameters):
        line = ["evaluate", str(pictures), "--metrics", "niqe", "--format", "json", "--bootstrap", "0"]
        capsys.readouterr()
        each = tmp_path / "each.json"
        assert main([*line, "--device", "cpu", "--weights", f"niqe={path}", "--per-image", str(each)]) == 0
        assert [row["niqe"] for row in json.loads(each.read_text())] == pytest.approx(expected, rel=1e-9)
        (method,) = json.loads(capsys.readouterr().out)["methods"]
        assert method["scores"]["niqe"]["value"] == pytest.approx(sum(expected) / 2)
        digests.add(json.dumps(method["extractors"]))
    assert len(digests) == 2
    assert all(", niqe, weights " in digest for digest in digests)


def test_niqe_of_basicsrs_parameters_is_basicsrs(pictures):
    """Made by basicsr 1.4.2, calculate_niqe(image, 0, convert_to='gray'): the colours that pyiqa takes, too."""
    found = find_spec("basicsr")
    if found is None or not found.submodule_search_locations:
        pytest.skip("basicsr, which has NIQE's parameters, is not installed")
    path = Path(found.submodule_search_locations[0]) / "metrics" / "niqe_pris_params.npz"
    pytest.importorskip("pyiqa", reason="pyiqa is not installed: pip install pmrf-blocks[iqa]", exc_type=Exception)
    metric = IQAMetric("niqe", weights={"niqe": str(path)}, device=CPU)
    for pixels, theirs in ((chelsea(), 2.57208329), (astronaut(), 3.06100407), (coffee(), 4.05933831)):
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255.0
        assert float(metric(image)) == pytest.approx(theirs, rel=1e-3)


def test_niqe_needs_two_blocks(monkeypatch, tmp_path):
    fake = types.SimpleNamespace(create_metric=lambda name, *, device: lambda x: x.mean(), __version__="0.0")
    monkeypatch.setitem(sys.modules, "pyiqa", fake)
    for (height, width), value in (((96, 191), None), ((96, 192), 0.2), ((190, 400), 0.2), ((95, 1000), None)):
        Image.fromarray(np.full((height, width, 3), 51, np.uint8)).save(tmp_path / "a.png")
        score = Evaluator(Protocol("plain", ("niqe",))).evaluate(tmp_path / "a.png").scores["niqe"]
        assert score.value == (None if value is None else pytest.approx(value, abs=1e-4))
        assert bool(score.unavailable) == (value is None)
    assert score.unavailable == "needs two blocks of 96x96 pixels an image; one here has 1000x95"
    Image.fromarray(np.full((192, 198, 3), 51, np.uint8)).save(tmp_path / "a.png")
    cut = Evaluator(Protocol("cut", ("niqe",), crop=50)).evaluate(tmp_path / "a.png")
    assert cut.scores["niqe"].unavailable.endswith("one here has 98x92")
    large = Evaluator(Protocol("large", ("niqe",), resize=400, crop=50)).evaluate(tmp_path / "a.png")
    assert large.scores["niqe"].value == pytest.approx(0.2, abs=1e-4)


@pytest.mark.parametrize("change", ["mu_pris_param", "cov_pris_param", "shape", "text"])
def test_a_file_that_is_not_niqes_is_one_line(monkeypatch, parameters, change):
    fake = types.SimpleNamespace(create_metric=lambda name, **options: pytest.fail("built"), __version__="0.0")
    monkeypatch.setitem(sys.modules, "pyiqa", fake)
    with np.load(parameters) as arrays:
        content = {name: array for name, array in arrays.items() if name != change}
    if change == "shape":
        content["cov_pris_param"] = content["cov_pris_param"][1:]
    np.savez(parameters, **content)
    if change == "text":
        parameters.write_text("this is none")
    with pytest.raises(Unavailable, match=r"pyiqa could not build niqe \(ValueError: ") as refused:
        IQAMetric("niqe", weights={"niqe": str(parameters)}, device=CPU)
    assert "\n" not in str(refused.value)


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
