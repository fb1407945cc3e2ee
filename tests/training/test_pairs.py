"""A flow's pairs computed beforehand, in memory and on the disk."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from training_toys import Halve, in_pixels

from pmrf_blocks.data import DataError, SampleKey
from pmrf_blocks.restoration import DegradedSource, NoiseSource, Pipeline, Pixels
from pmrf_blocks.training import FlowTask, PairDataset, PairFolder, precompute_pairs, write_pairs


class Ramp(torch.utils.data.Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, key):
        index, seed = key if isinstance(key, tuple) else (key, 0)
        return torch.full((3, 4, 4), (index * 40 + seed % 40) % 256, dtype=torch.uint8)


def noisy(x, *, generator):
    return x + torch.randn(x.shape, generator=generator, device=x.device), x


def halving(value=0.5):
    """A pipeline with a network, as the real ones are."""
    estimator = Halve()
    nn.init.constant_(estimator.scale, value)
    return in_pixels(Halve(), estimator)


def conditioned():
    return Pipeline(space=Pixels(), source=NoiseSource(), condition=DegradedSource(), velocity=Halve(), size=4)


def test_precomputed_pairs(generator):
    one, same, other = (
        precompute_pairs(halving(), noisy, Ramp(), rounds=3, seed=seed, batch_size=4) for seed in (0, 0, 1)
    )
    assert len(one) == 15
    assert torch.equal(one.x0, same.x0)
    assert torch.equal(one.x1, same.x1)
    assert not torch.equal(one.x0, other.x0)
    x0, x1 = one[SampleKey(7, 3)]
    assert x0.dtype == x1.dtype == torch.float32
    assert torch.equal(x1, one.x1[7].float())
    with pytest.raises(ValueError, match="one shape"):
        PairDataset(torch.zeros(2, 1), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="a condition a pair; got 3 for 2"):
        PairDataset(torch.zeros(2, 1), torch.zeros(2, 1), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="precision must be one of"):
        precompute_pairs(halving(), noisy, Ramp(), rounds=1, seed=0, precision="auto")


@pytest.mark.parametrize("on_disk", [False, True])
def test_pairs_of_reflow_are_the_ends_of_the_pipelines_paths(tmp_path, on_disk):
    teacher = halving()
    teacher.source_noise = 0.5
    options = {"rounds": 2, "seed": 0, "batch_size": 4, "device": "cpu"}
    make = partial(write_pairs, tmp_path) if on_disk else precompute_pairs
    pairs = make(teacher, noisy, Ramp(), reflow=20, **options)
    x0, x1 = (torch.stack(ends) for ends in zip(*(pairs[i] for i in range(len(pairs)))))
    plain = precompute_pairs(teacher, noisy, Ramp(), **options)
    assert 0.4 < float((x0 - plain.x0.float()).std()) < 0.6  # the source has its noise
    torch.testing.assert_close(x1, math.exp(0.5) * x0, rtol=2e-3, atol=2e-3)  # dx/dt = x / 2, in half precision
    if on_disk:
        nn.init.constant_(teacher.velocity.scale, 0.1)
        with pytest.raises(DataError, match="networks is"):  # another velocity makes other pairs
            make(teacher, noisy, Ramp(), reflow=20, **options)


@pytest.mark.parametrize("on_disk", [False, True])
def test_conditions_are_kept(tmp_path, on_disk):
    options = {"rounds": 1, "seed": 0, "batch_size": 4, "device": "cpu"}
    if on_disk:
        pairs = write_pairs(tmp_path, conditioned(), noisy, Ramp(), **options)
    else:
        pairs = precompute_pairs(conditioned(), noisy, Ramp(), **options)
    x0, x1, condition = pairs[3]
    assert torch.equal(x0, torch.zeros(3, 4, 4))
    direct = precompute_pairs(Pipeline(space=Pixels(), source=DegradedSource(), size=4), noisy, Ramp(), **options)
    assert torch.equal(condition, direct[3][0])
    assert torch.equal(x1, direct[3][1])


def write(folder, pipeline=None, degradation=noisy, **changes):
    options = {"rounds": 3, "seed": 0, "batch_size": 4, "shard_batches": 2, "device": "cpu", **changes}
    return write_pairs(folder, pipeline or halving(), degradation, Ramp(), **options)


def test_pairs_on_the_disk_are_those_in_memory(tmp_path):
    there = write(tmp_path, made_by={"recipe": "test"})
    memory = precompute_pairs(halving(), noisy, Ramp(), rounds=3, seed=0, batch_size=4, device="cpu")
    assert len(there) == len(memory) == 15
    assert [path.name for path in sorted(tmp_path.glob("*.safetensors"))] == [
        "pairs-00000.safetensors", "pairs-00001.safetensors",
    ]  # fmt: skip
    for index in (0, 7, 8, 14):
        for ours, theirs in zip(there[SampleKey(index, 5)], memory[index]):
            assert ours.dtype == torch.float32
            assert torch.equal(ours, theirs)
    assert there.manifest["made_by"] == {"recipe": "test"}
    assert there.manifest["pairs"] == 15
    with pytest.raises(IndexError):
        there[15]
    task = FlowTask(halving())
    loader = torch.utils.data.DataLoader(there, batch_sampler=[[SampleKey(0, 0), SampleKey(9, 0)]], num_workers=1)
    assert float(task(next(iter(loader)), torch.Generator().manual_seed(0))[0].detach()) > 0


def test_writing_pairs_goes_on_where_it_stopped(tmp_path):
    class Stopping:
        __name__ = "noisy"

        def __call__(self, x, *, generator):
            if (tmp_path / "parts/pairs-00000.safetensors").exists():
                raise KeyboardInterrupt
            return noisy(x, generator=generator)

    whole = write(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "parts", degradation=Stopping())
    with pytest.raises(DataError, match="1 of 2 shards are missing, pairs-00001"):
        PairFolder(tmp_path / "parts")
    first = tmp_path / "parts/pairs-00000.safetensors"
    before = first.stat().st_mtime_ns
    parts = write(tmp_path / "parts")
    assert first.stat().st_mtime_ns == before
    assert all(torch.equal(a, b) for i in range(15) for a, b in zip(whole[i], parts[i]))


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"seed": 1}, "seed"),
        ({"pipeline": halving(0.25)}, "networks"),
        ({"made_by": {"crop": 8}}, "made_by"),
        ({"pipeline": conditioned()}, "source"),
        ({"precision": "bf16"}, "precision"),
    ],
)
def test_pairs_of_another_origin_are_refused(tmp_path, change, differs):
    write(tmp_path)
    with pytest.raises(DataError, match=f"something else made: {differs} is"):
        write(tmp_path, **change)


def cut(data):
    return data[:-5]


def flip(data):
    return data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]


def other_layout(data):
    return data.replace(b'"x1"', b'"y1"')


@pytest.mark.parametrize("damage", [cut, flip, other_layout, lambda data: b""])
def test_damaged_shards_are_made_again(tmp_path, damage, capsys):
    write(tmp_path)
    shard = tmp_path / "pairs-00001.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(damage(whole))
    write(tmp_path)
    assert "pairs-00001.safetensors is damaged" in capsys.readouterr().err
    assert shard.read_bytes() == whole


@pytest.mark.parametrize("damage", [cut, other_layout, lambda data: b""])
def test_shards_of_another_size_or_layout_are_not_opened(tmp_path, damage):
    write(tmp_path)
    shard = tmp_path / "pairs-00001.safetensors"
    shard.write_bytes(damage(shard.read_bytes()))
    with pytest.raises(DataError, match=r"pairs-00001\.safetensors"):
        PairFolder(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"pairs": "3", "shard_pairs": 1}', '{"pairs": 3, "shard_pairs": 0}',
             '{"pairs": 1e99, "shard_pairs": 1}', '{"pairs": 100000000000, "shard_pairs": 1}', "[" * 10**5],
)  # fmt: skip
def test_a_damaged_manifest_is_one_line(tmp_path, text):
    write(tmp_path)
    (tmp_path / "manifest.json").write_text(text)
    for use in (PairFolder, write):
        with pytest.raises(DataError, match=rf"^{tmp_path} holds no pairs: .*$") as error:
            use(tmp_path)
        assert "\n" not in str(error.value)


def test_no_pairs_are_named(tmp_path):
    with pytest.raises(DataError, match="holds no pairs"):
        PairFolder(tmp_path)
