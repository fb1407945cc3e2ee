"""Classes and functions of one's own in place of registered names: looked up, written as paths, read back, hashed."""

import functools
import importlib
import sys
import textwrap

import pytest
import torch
from torch import nn

from pmrf_blocks.pretrained import Pretrained, WeightsError
from pmrf_blocks.variants import from_path, import_path, is_path, resolve, source_of

OWN = """
from torch import nn
import my_helpers

SCALE = 2.0
TOUCHED = []

def helper(x):
    return SCALE * x

class Base(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(my_helpers.start(channels))

class MyNorm(Base):
    def forward(self, x):
        return helper(x) * self.weight
"""
HELPERS = """
import torch

def start(channels):
    return torch.ones(channels)
"""


class Network(nn.Module, Pretrained):
    def __init__(self, channels: int = 3, *, norm=nn.Identity, pair=("a", "b")) -> None:
        super().__init__()
        self.norm = norm(channels)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A function that (re)writes my_blocks.py and my_helpers.py and gives my_blocks.MyNorm anew."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(blocks=OWN, helpers=HELPERS):
        for name, text in (("my_helpers", helpers), ("my_blocks", blocks)):
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        try:
            return importlib.import_module("my_blocks").MyNorm
        finally:
            sys.dont_write_bytecode = before

    yield write
    for name in ("my_blocks", "my_helpers"):
        sys.modules.pop(name, None)


def test_a_name_or_a_callable_and_nothing_else():
    table = {"a": int, "b": float}
    assert resolve("a", table, "kind") is int
    assert resolve(str, table, "kind") is str
    for wrong in ("c", 3, None, ["a"]):
        with pytest.raises(ValueError, match=r"kind must be one of 'a', 'b'; got .* \(a class or function will do"):
            resolve(wrong, table, "kind")


def test_paths_go_there_and_back(own):
    norm = own()
    assert import_path(norm) == "my_blocks:MyNorm"
    assert from_path("my_blocks:MyNorm", trusted_modules=["my_blocks"]) is norm
    assert from_path("my_blocks:MyNorm", trusted_modules="my_blocks") is norm
    assert from_path(import_path(nn.InstanceNorm2d), trusted_modules=["torch"]) is nn.InstanceNorm2d
    inside = "pmrf_blocks.autoencoders.norms:ChannelLayerNorm"
    assert import_path(from_path(inside)) == inside


@pytest.mark.parametrize(
    "value",
    [lambda channels: nn.Identity(), functools.partial(nn.GroupNorm, 4), type("Local", (), {})],
)
def test_what_has_no_import_path_says_so(value):
    with pytest.raises(ValueError, match=r"cannot be saved: it has no import path\. Define it with class or def"):
        import_path(value)


def test_a_script_s_own_class_says_where_to_move_it(monkeypatch):
    kind = type("Mine", (), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Mine", kind, raising=False)
    with pytest.raises(ValueError, match=r"defined in the script that runs\. Move it to a module"):
        import_path(kind)


@pytest.mark.parametrize(
    ("path", "trusted", "message"),
    [
        ("os:system", (), r"code outside pmrf_blocks.* pass trusted_modules=\('os',\)"),
        ("my_blocks:MyNorm", ("my",), r"pass trusted_modules=\('my_blocks',\)"),
        ("pmrf_blocks_evil:Norm", (), "code outside pmrf_blocks"),
        ("pmrf_blocks.pretrained:functools", (), "is not a class or function of"),
        ("pmrf_blocks.pretrained:locate", (), "is not a class or function of"),  # no layer: no stranger's to call
        ("pmrf_blocks.pretrained:nn.Module", (), "is not an import path"),
        ("pmrf_blocks.autoencoders.norms:nothing", (), "cannot be imported"),
        ("my_blocks:SCALE", ("my_blocks",), "is not a class or function of my_blocks"),
        ("my_blocks:nn", ("my_blocks",), "is not a class or function of my_blocks"),
        ("absent:Norm", ("absent",), "cannot be imported: No module named 'absent'"),
    ],
)
def test_what_is_not_trusted_or_not_there_is_not_imported(path, trusted, message, own):
    own()
    sys.modules.pop("my_blocks")
    with pytest.raises(ValueError, match=message):
        from_path(path, trusted_modules=trusted)
    assert trusted == ("my_blocks",) or "my_blocks" not in sys.modules


def test_what_looks_like_a_path():
    assert is_path("a.b:C")
    assert not any(map(is_path, ("a.b", "a:b:c", "a b:c", "C:\\x", "http://x", ":b", "a:", 3, None)))


def test_a_network_with_a_class_of_one_s_own_is_saved_and_loaded(own, tmp_path):
    norm = own()
    network = Network(5, norm=norm, pair=[norm, "b"])
    with torch.no_grad():
        network.norm.weight.fill_(7.0)
    network.save_pretrained(tmp_path / "network")
    with pytest.raises(WeightsError, match=r"config\.json: 'my_blocks:MyNorm' is code outside pmrf_blocks"):
        Network.from_pretrained(tmp_path / "network")
    again = Network.from_pretrained(tmp_path / "network", trusted_modules=["my_blocks"])
    assert type(again.norm) is norm
    assert again.config == network.config
    assert again.norm.weight.tolist() == [7.0] * 5


def test_a_lambda_builds_and_is_refused_when_it_is_saved(tmp_path):
    network = Network(norm=lambda channels: nn.Identity())
    with pytest.raises(ValueError, match="cannot be saved"):
        network.save_pretrained(tmp_path / "network")
    assert not (tmp_path / "network").exists()


def test_the_source_covers_what_is_named_and_no_comment(own):
    source = source_of(own())
    assert source == source_of(own(OWN.replace("def helper", "# a comment\ndef helper")))
    texts = [source]
    for blocks, helpers in [
        (OWN.replace("helper(x) * self.weight", "helper(x) + self.weight"), HELPERS),
        (OWN.replace("SCALE * x", "SCALE + x"), HELPERS),
        (OWN.replace("SCALE = 2.0", "SCALE = 3.0"), HELPERS),
        (OWN.replace("my_helpers.start(channels)", "my_helpers.start(channels) + 1"), HELPERS),
        (OWN, HELPERS.replace("ones", "zeros")),
    ]:
        texts.append(source_of(own(blocks, helpers)))
    assert len(set(texts)) == len(texts)


def test_the_source_of_functions_and_partials():
    scale = 3

    def local(channels):
        return scale * channels

    first = source_of(local)
    scale = 4
    assert source_of(local) != first
    assert source_of(functools.partial(local, 1)) != source_of(functools.partial(local, 2))
    assert "lambda" in source_of(lambda channels: nn.Identity())
    assert "InstanceNorm2d" in source_of(nn.InstanceNorm2d)
    with pytest.raises(ValueError, match=r"the code of .* cannot be found"):
        source_of(torch.relu)
