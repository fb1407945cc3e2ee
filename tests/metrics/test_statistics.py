"""Reference statistics in a file: by name and hash, or refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pmrf_blocks.metrics import Moments, Statistics


def test_statistics_are_named_and_hashed(tmp_path):
    features = torch.rand(5, 3)
    own = Statistics("means", "plain (0)", Moments.of(features), features, name="faces")
    path = own.save(tmp_path / "own.npz")
    found = Statistics.load(path)
    assert (str(found), found.name) == (str(own), "faces")
    assert found.digest == Statistics.load(found.save(tmp_path / "again.npz")).digest
    others = [replace(own, extractor="other", digest=""), replace(own, protocol="cropped (0)", digest="")]
    others.append(replace(own, moments=Moments.of(torch.rand(3, 3)), digest=""))
    assert len({own.digest, *(other.digest for other in others)}) == 4
    assert replace(own, name="the same faces", features=None, digest="").digest == own.digest
    with np.load(path) as arrays:
        content = dict(arrays)
    np.savez(path, **{**content, "mean": content["mean"] + 0.5})
    with pytest.raises(ValueError, match=f"its content has the hash [0-9a-f]{{16}}, not {own.digest}"):
        Statistics.load(path)
    of_old = {name: array for name, array in content.items() if name not in ("name", "digest")}
    np.savez(path, **of_old)
    assert (Statistics.load(path).name, Statistics.load(path).digest) == ("", own.digest)


def test_damaged_statistics(tmp_path):
    for content in (b"", b"text", b"PK\x03\x04 no zip"):
        (tmp_path / "s.npz").write_bytes(content)
        with pytest.raises(ValueError, match="does not hold reference statistics"):
            Statistics.load(tmp_path / "s.npz")
    np.savez(tmp_path / "pickled.npz", version=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="does not hold reference statistics"):
        Statistics.load(tmp_path / "pickled.npz")
    with pytest.raises(ValueError, match="no such file"):
        Statistics.load(tmp_path / "absent.npz")
