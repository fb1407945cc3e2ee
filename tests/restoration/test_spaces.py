"""The one place where images meet the range of autoencoders."""

import re
from pathlib import Path

import torch

import pmrf_blocks
from pmrf_blocks.restoration.spaces import from_signed, to_signed

CONVERSION = re.compile(r"2(?:\.0)? \* [^#]*\) - 1(?:\.0)?\b|2\.0 \* \w+ - 1\.0|0\.5 \* \(.* \+ 1\.0\)")


def test_the_conversion_and_back(generator):
    x = torch.rand(2, 3, 4, 4, generator=generator)
    assert float(to_signed(torch.zeros(1))) == -1.0
    assert float(to_signed(torch.ones(1))) == 1.0
    torch.testing.assert_close(from_signed(to_signed(x)), x)
    assert from_signed(x.half()).dtype == torch.float32


def test_it_is_nowhere_else():
    package = Path(pmrf_blocks.__file__).parent
    found = {
        str(path.relative_to(package)): line.strip()
        for path in package.rglob("*.py")
        for line in path.read_text().splitlines()
        if CONVERSION.search(line)
    }
    assert set(found) == {"restoration/spaces.py"}, found
