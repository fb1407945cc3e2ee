"""A flow's pairs computed beforehand, in memory and on the disk."""

import pytest
import torch
from test_tasks import Halve
from torch import nn

from pmrf_blocks.data import DataError, SampleKey
from pmrf_blocks.training import PairDataset, PairFolder, given_pairs, write_pairs
from pmrf_blocks.training.pairs import compute_pairs
from pmrf_blocks.training.tasks import CouplingFlowTask as FlowTask


class Ramp(torch.utils.data.Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, key):
        index, seed = key if isinstance(key, tuple) else (key, 0)
        return torch.full((3, 4, 4), (index * 40 + seed % 40) % 256, dtype=torch.uint8)


def test_precomputed_pairs(generator):
    def coupling(batch, generator):
        noise = torch.randn(batch.shape, generator=generator)
        return noise, batch.float() / 255.0

    one, same, other = (compute_pairs(coupling, Ramp(), rounds=3, seed=seed, batch_size=4) for seed in (0, 0, 1))
    assert len(one) == 15
    assert torch.equal(one.x0, same.x0)
    assert torch.equal(one.x1, same.x1)
    assert not torch.equal(one.x0, other.x0)
    x0, x1 = one[SampleKey(7, 3)]
    assert x0.dtype == x1.dtype == torch.float32
    assert torch.equal(x1, one.x1[7].float())
    with pytest.raises(ValueError, match="one shape"):
        PairDataset(torch.zeros(2, 1), torch.zeros(3, 1))


def noisy(batch, generator):
    noise = torch.randn(batch.shape, generator=generator, device=batch.device)
    return noise, batch.float() / 255.0


class Coupled:
    """A coupling with a network, as the real ones are."""

    def __init__(self, value=0.5):
        self.frozen = (Halve(),)
        nn.init.constant_(self.frozen[0].scale, value)

    def __call__(self, batch, generator):
        noise, x = noisy(batch, generator)
        return self.frozen[0](x) + noise, x


def write(folder, coupling=None, **changes):
    options = {"rounds": 3, "seed": 0, "batch_size": 4, "shard_batches": 2, "device": "cpu", **changes}
    return write_pairs(folder, coupling or Coupled(), Ramp(), **options)


def test_pairs_on_the_disk_are_those_in_memory(tmp_path):
    there = write(tmp_path, made_by={"recipe": "test"})
    memory = compute_pairs(Coupled(), Ramp(), rounds=3, seed=0, batch_size=4, device="cpu")
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
    task = FlowTask(Halve(), given_pairs)
    loader = torch.utils.data.DataLoader(there, batch_sampler=[[SampleKey(0, 0), SampleKey(9, 0)]], num_workers=1)
    assert float(task(next(iter(loader)), torch.Generator().manual_seed(0))[0].detach()) > 0


def test_writing_pairs_goes_on_where_it_stopped(tmp_path):
    class Stopping(Coupled):
        def __call__(self, batch, generator):
            if (tmp_path / "parts/pairs-00000.safetensors").exists():
                raise KeyboardInterrupt
            return super().__call__(batch, generator)

    whole = write(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "parts", Stopping())
    with pytest.raises(DataError, match="1 of 2 shards are missing, pairs-00001"):
        PairFolder(tmp_path / "parts")
    first = tmp_path / "parts/pairs-00000.safetensors"
    before = first.stat().st_mtime_ns
    manifest = (tmp_path / "parts/manifest.json").read_text().replace("Stopping", "Coupled")
    (tmp_path / "parts/manifest.json").write_text(manifest)
    parts = write(tmp_path / "parts")
    assert first.stat().st_mtime_ns == before
    assert all(torch.equal(a, b) for i in range(15) for a, b in zip(whole[i], parts[i]))


@pytest.mark.parametrize(
    ("change", "differs"),
    [({"seed": 1}, "seed"), ({"coupling": Coupled(0.25)}, "networks"), ({"made_by": {"crop": 8}}, "made_by")],
)
def test_pairs_of_another_origin_are_refused(tmp_path, change, differs):
    write(tmp_path)
    with pytest.raises(DataError, match=f"something else made: {differs} is"):
        write(tmp_path, **change)


def test_no_pairs_are_named(tmp_path):
    with pytest.raises(DataError, match="holds no pairs"):
        PairFolder(tmp_path)
