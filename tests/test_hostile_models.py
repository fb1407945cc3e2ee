"""A model's folder is data from a stranger: whatever it says, the answer is a network or one line, soon."""

import copy
import json
import random
import resource

import pytest
import torch
from safetensors.torch import save_file

from pmrf_blocks.arguments import check_arguments
from pmrf_blocks.autoencoders import SDVAE, SimVAE, load_autoencoder
from pmrf_blocks.autoencoders.published import save_diffusers
from pmrf_blocks.estimators import RRDB, SwinIR, UNet
from pmrf_blocks.pretrained import CONFIG, WEIGHTS, WeightsError, locate
from pmrf_blocks.restoration import PMRF, load_restorer
from pmrf_blocks.transformers import HourglassTransformer, Level

LEVELS = (Level(32, 1, head_dim=16), Level(32, 1, attention="global", head_dim=16))
NETWORKS = {
    "SimVAE": lambda: SimVAE(4, channels=(8, 16), blocks_per_level=1, middle_blocks=1, norm_groups=4),
    "UNet": lambda: UNet(widths=(8, 16), blocks=(1, 1)),
    "SwinIR": lambda: SwinIR(embed_dim=16, depths=(2,), num_heads=(2,), window_size=4, unshuffle=2),
    "RRDB": lambda: RRDB(channels=4, hidden=8, blocks=1),
    "HourglassTransformer": lambda: HourglassTransformer(patch_size=4, levels=LEVELS, mapping_width=32),
}
# What a mutation puts in the place of a value, a name, or a whole branch.
POISON = [
    None, True, False, 0, 1, -1, 2, 3, 7, 10**6, 10**9, 10**30, -(10**9), 0.5, -0.0, 1e308, 1e400, "", "layer",
    "x" * 5000, "../..", "os:system", "pmrf_blocks.cli:main", "torch.nn:Linear", [], {}, [1], [[]],
    [10**9] * 3, [4] * 100_000,
    {"": 1}, {"class": "SimVAE"}, {"width": 10**9, "depth": 10**9}, [{"width": 32, "depth": 10**6, "head_dim": 16}],
]  # fmt: skip


@pytest.fixture(scope="module", params=list(NETWORKS))
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    network = NETWORKS[request.param]()
    network.save_pretrained(folder)
    return type(network), folder


def mutated(value, rng):
    """A copy with one place changed: replaced, removed, renamed, or nested deep."""
    value = copy.deepcopy(value)
    inner = [key for key, item in entries(value) if isinstance(item, (dict, list)) and item]
    if inner and rng.random() < 0.4:
        key = rng.choice(inner)
        value[key] = mutated(value[key], rng)
        return value
    keys = [key for key, _ in entries(value)]
    how, key = rng.random(), rng.choice(keys)
    if how < 0.7:
        value[key] = rng.choice(POISON)
    elif how < 0.8:
        del value[key]
    elif how < 0.9 and isinstance(value, dict):
        value[rng.choice(["levels", "steps", "self", "args", "__class__", "k" * 300])] = rng.choice(POISON)
    else:
        for _ in range(rng.choice([2, 40])):
            value[key] = [value[key]]
    return value


def entries(value):
    return list(value.items()) if isinstance(value, dict) else list(enumerate(value))


def why_not(load, folder):
    """The line that says why a model does not load; None where it does. Any other exception goes on."""
    try:
        load(folder)
    except WeightsError as error:
        return str(error)
    return None


def test_mutated_configurations(model):
    """Seeded. Memory stays what a tiny network takes."""
    kind, folder = model
    config, rng = json.loads((folder / CONFIG).read_text()), random.Random(0)
    before, reasons = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for _ in range(60):
        (folder / CONFIG).write_text(json.dumps(mutated(config, rng)))
        reasons.append(why_not(kind.from_pretrained, folder))
    (folder / CONFIG).write_text(json.dumps(config))
    assert sum(reason is not None for reason in reasons) > 30
    assert not [reason for reason in reasons if reason and ("\n" in reason or len(reason) > 3000)]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB
    assert why_not(kind.from_pretrained, folder) is None


def test_mutated_configurations_of_diffusers(tmp_path):
    save_diffusers(SDVAE(4, channels=(8, 16), blocks_per_level=1, norm_groups=4), tmp_path)
    config, rng = json.loads((tmp_path / CONFIG).read_text()), random.Random(0)
    reasons = []
    for _ in range(60):
        (tmp_path / CONFIG).write_text(json.dumps(mutated(config, rng)))
        reasons.append(why_not(load_autoencoder, tmp_path))
    assert sum(reason is not None for reason in reasons) > 30
    assert not [reason for reason in reasons if reason and ("\n" in reason or len(reason) > 3000)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b'{"a":' * 50 + b"1" + b"}" * 50, "nested more than 30 deep"),
        (b"[1, 2]", "not a JSON object"),
        (b'{"widths": NaN}', "NaN is no JSON number"),
        (b'{"class": ["UNet"]}', r"describes a \['UNet'\], not a UNet"),
        (b'{"widths": [8, "16"]}', r"widths\[?1?\]?.*must be"),
        (b'{"widths": [8, 16], "blocks": [1, 1000000]}', "many times more than the weights are of"),
        (b'{"widths": [8, 1000000], "blocks": [1, 1]}', "does not fit UNet"),
        (b'{"widths": [8, 16], "blocks": [1, 1], "unshuffle": true}', "unshuffle must be int; got True"),
        (b'{"widths": [8, 16], "image_channels": 99999999999}', "image_channels is 99999999999, beyond"),
        (b'{"chanels": 3}', "'chanels' is no argument known here"),
        (b'{"unshuffle": 1e400}', "unshuffle is not a finite number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, content, message):
    NETWORKS["UNet"]().save_pretrained(tmp_path)
    (tmp_path / CONFIG).write_bytes(content)
    with pytest.raises(WeightsError, match=message) as error:
        UNet.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)


def test_weights_are_compared_before_they_are_read(tmp_path, monkeypatch):
    NETWORKS["UNet"]().save_pretrained(tmp_path)

    def never(path):
        raise AssertionError("weights were read")

    monkeypatch.setattr("pmrf_blocks.pretrained.read_safetensors", never)
    save_file({"a": torch.zeros(3)}, tmp_path / WEIGHTS)
    with pytest.raises(WeightsError, match="1 unexpected: a"):
        UNet.from_pretrained(tmp_path)
    weights = {name: tensor.to(torch.int64) for name, tensor in NETWORKS["UNet"]().state_dict().items()}
    save_file(weights, tmp_path / WEIGHTS)
    with pytest.raises(WeightsError, match="of another type"):
        UNet.from_pretrained(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "header", "empty", "text"])
def test_damaged_weights_are_one_line(tmp_path, damage):
    NETWORKS["UNet"]().save_pretrained(tmp_path)
    whole = (tmp_path / WEIGHTS).read_bytes()
    damaged = {"cut": whole[:-7], "header": b"\xff" * 8 + whole[8:], "empty": b"", "text": b"weights"}[damage]
    (tmp_path / WEIGHTS).write_bytes(damaged)
    assert "is damaged or not safetensors" in why_not(UNet.from_pretrained, tmp_path)


def test_a_folder_on_the_disk_is_never_the_hub(tmp_path, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", never)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mymodel").mkdir()
    for name in ("mymodel/velocity", "./mymodel", "../mymodel", "a/b/c", "/a/b", "mymodel/..", "name", "~/x", "a/..b"):
        with pytest.raises(WeightsError, match=r"^(?!.*the hub was asked)"):
            UNet.from_pretrained(name)
    with pytest.raises(WeightsError, match="not a hub id"):
        locate(tmp_path.relative_to(tmp_path) / "owner/name")  # a Path is a place on the disk
    with pytest.raises(WeightsError, match="the hub was asked"):
        locate("owner/name")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    levels = LEVELS
    velocity = HourglassTransformer(patch_size=4, levels=levels, mapping_width=32)
    PMRF(estimator=NETWORKS["UNet"](), velocity=velocity, size=32).save_pretrained(folder)
    return folder


def test_mutated_pipelines(pipeline):
    config, rng, reasons = json.loads((pipeline / CONFIG).read_text()), random.Random(0), []
    for _ in range(60):
        (pipeline / CONFIG).write_text(json.dumps(mutated(config, rng)))
        reasons.append(why_not(load_restorer, pipeline))
    (pipeline / CONFIG).write_text(json.dumps(config))
    assert sum(reason is not None for reason in reasons) > 20
    assert not [reason for reason in reasons if reason and ("\n" in reason or len(reason) > 3000)]
    assert why_not(load_restorer, pipeline) is None


@pytest.mark.parametrize("name", ["../velocity", "a/b", "evil/repo", ".", "..", "", "/etc"])
def test_parts_are_plain_children(pipeline, name, monkeypatch):
    monkeypatch.chdir(pipeline)
    config = json.loads((pipeline / CONFIG).read_text())
    hostile = {**config, "networks": {**config["networks"], name: "UNet"}}
    (pipeline / CONFIG).write_text(json.dumps(hostile))
    try:
        for given in (".", pipeline):
            with pytest.raises(WeightsError, match="is no name of a network"):
                load_restorer(given)
    finally:
        (pipeline / CONFIG).write_text(json.dumps(config))


def test_arguments_of_all_annotations():
    def take(a: int, b: tuple[int, float] = (1, 2.0), c: "str | None" = None, d: dict[str, list[int]] | None = None):
        pass

    check_arguments(take, {"a": 1, "b": [1, 2], "c": None, "d": {"x": [1]}})
    for wrong in ({"a": 1, "b": [1]}, {"a": 1, "d": {"x": ["1"]}}, {"a": None}, {}, {"a": 1, "c": 3}):
        with pytest.raises(ValueError, match=r"a|b|c|d"):
            check_arguments(take, wrong)
