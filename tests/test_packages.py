"""What .ci/packages.py says of a wheel and an sdist: names that lack, names too many, sizes."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def packages():
    spec = importlib.util.spec_from_file_location("packages", ROOT / ".ci" / "packages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_whole_wheel_is_accepted(packages):
    files = packages.expected()
    assert "pmrf_blocks/weights/bundled/velocity/model.safetensors" in files
    assert packages.wheel_problems([*files, "pmrf_blocks-0.2.0.dist-info/METADATA"], files) == []


@pytest.mark.parametrize("name", ["pmrf_blocks/py.typed", "pmrf_blocks/weights/bundled/velocity/model.safetensors"])
def test_a_missing_file_is_named(packages, name):
    files = packages.expected()
    assert packages.wheel_problems(files - {name}, files) == [f"the wheel lacks {name}"]


def test_a_name_that_the_clone_lacks_too_is_missed(packages):
    files = packages.expected() - {"pmrf_blocks/py.typed"}
    assert packages.wheel_problems(files, files) == ["the wheel lacks pmrf_blocks/py.typed"]


def test_tests_are_no_part_of_a_wheel(packages):
    files = packages.expected()
    (problem,) = packages.wheel_problems([*files, "tests/test_api.py"], files)
    assert "tests/test_api.py" in problem


def test_a_sdist_has_the_tests(packages):
    files = packages.expected()
    whole = [*files, *(f"{folder}x" for folder in packages.SDIST_HAS)]
    assert packages.sdist_problems(whole, files) == []
    assert packages.sdist_problems([name for name in whole if name != "tests/x"], files) == ["the sdist lacks tests/"]


def test_sizes_have_a_limit(packages, tmp_path):
    wheel = tmp_path / "one.whl"
    wheel.write_bytes(b"")
    assert packages.size_problems(wheel) == []
    with wheel.open("wb") as file:
        file.truncate(41_000_000)
    assert packages.size_problems(wheel) == ["one.whl has 41.0 MB, more than 40"]
