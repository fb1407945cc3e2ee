"""Weight files: safetensors, whole or in shards with their list, of a variant or not; and pickles of weights alone.

Files are called as the hub's libraries call them: STEM.safetensors, STEM.fp16.safetensors of the variant 'fp16',
STEM-00001-of-00002.safetensors listed in STEM.safetensors.index.json, and STEM.fp16-00001-of-00002.safetensors listed
in STEM.safetensors.index.fp16.json.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from pmrf_blocks.json_files import read_json_object
from pmrf_blocks.messages import first_line, short
from pmrf_blocks.whole_files import write_bytes, write_json

CONFIG, WEIGHTS = "config.json", "model.safetensors"
STEMS = ("model", "diffusion_pytorch_model")  # ours, and diffusers'
VARIANT = re.compile(r"[A-Za-z0-9_]+")
FILE = re.compile(rf"({'|'.join(STEMS)})(?:\.([A-Za-z0-9_]+))?(?:-\d+-of-\d+)?\.safetensors")
# What weights may be stored in, by the names of safetensors; all else passes for integers.
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class WeightsError(ValueError):
    """A weight file that is missing, damaged, or made for another network."""


def check_variant(variant: str | None) -> None:
    """WeightsError for a variant that cannot be part of a file's name."""
    if variant is not None and not (isinstance(variant, str) and VARIANT.fullmatch(variant)):
        raise WeightsError(f"variant must be letters, digits and _, such as 'fp16'; got {short(variant)}")


def file_names(stem: str, variant: str | None) -> tuple[str, str]:
    """Of the weights in one file, and of the list of their shards; WeightsError for an impossible variant."""
    check_variant(variant)
    mark = f".{variant}" if variant else ""
    return f"{stem}{mark}.safetensors", f"{stem}.safetensors.index{mark}.json"


def shard_pattern(stem: str, variant: str | None) -> str:
    """A glob of the shards; WeightsError for an impossible variant."""
    return file_names(stem, variant)[0].removesuffix(".safetensors") + "-*-of-*.safetensors"


def replaced_by(folder: Path) -> list[str]:
    """Globs of the files that hold weights, of the same network and variant, that `folder` or one in it holds too."""
    found = [(path.parent.relative_to(folder), FILE.fullmatch(path.name)) for path in folder.rglob("*.safetensors")]
    kinds = {(place, match[1], match[2]) for place, match in found if match}
    return sorted(
        (place / name).as_posix()
        for place, stem, variant in kinds
        for name in (*file_names(stem, variant), shard_pattern(stem, variant))
    )


def find_weights(folder: Path, variant: str | None = None, *, stems: Sequence[str] = STEMS) -> Path:
    """The weight file of a folder, or the list of its shards; the first of `stems` that has one.

    WeightsError names the variants that there are instead.
    """
    for stem in stems:
        for name in file_names(stem, variant):
            if (folder / name).is_file():
                return folder / name
    either = "|".join(map(re.escape, stems))
    shapes = rf"(?:{either})\.(\w+)(?:-\d+-of-\d+)?\.safetensors"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    others = sorted({match[1] for match in (re.fullmatch(shapes, name) for name in names) if match})
    unasked = "; weights of a variant alone, such as 'fp16', are taken with variant='fp16'" if variant is None else ""
    there = f"; there is variant {' and '.join(map(repr, others))}: pass variant={others[0]!r}" if others else unasked
    raise WeightsError(f"weight file {folder / file_names(stems[0], variant)[0]} not found{there}")


def shards_of(index: Path) -> list[Path]:
    """The files that a list of shards names, each in the list's own folder; else WeightsError."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, Mapping) or not all(isinstance(name, str) for name in places.values()):
        raise WeightsError(f"{index} is no list of shards: weight_map must be an object of file names")
    stem = re.escape(index.name.split(".")[0])
    for name in sorted(set(places.values())):
        if not re.fullmatch(rf"{stem}[\w.-]*\.safetensors", name):
            raise WeightsError(f"{index} names a shard {name!r}, which is no weight file of this folder")
    return [index.parent / name for name in sorted(set(places.values()))]


def read_weights(place: Path) -> dict[str, Tensor]:
    """Tensors of what find_weights() found, on the CPU; WeightsError where a file is missing or damaged."""
    files = shards_of(place) if place.suffix == ".json" else [place]
    return {name: value for file in files for name, value in read_safetensors(file).items()}


def header_of(place: Path) -> dict[str, Tensor]:
    """As read_weights(), without memory."""
    files = shards_of(place) if place.suffix == ".json" else [place]
    return {name: value for file in files for name, value in read_header(file).items()}


def write_weights(
    folder: Path, weights: Mapping[str, Tensor], *, variant: str | None = None, max_shard_bytes: int | None = None
) -> None:
    """Write model.safetensors, or shards of at most `max_shard_bytes` (one tensor may be more) and their list.

    Weight files of this variant that were there before and are not written now are removed: they would be read in
    place of these, or left to confuse. Raises ValueError for an impossible variant or size.
    """
    single, index = file_names(STEMS[0], variant)
    if max_shard_bytes is not None and max_shard_bytes < 1:
        raise ValueError(f"max_shard_bytes must be at least 1; got {max_shard_bytes}")
    groups: list[dict[str, Tensor]] = [{}]
    size = total = 0
    for name, value in weights.items():
        own = value.numel() * value.element_size()
        if max_shard_bytes is not None and groups[-1] and size + own > max_shard_bytes:
            groups.append({})
            size = 0
        groups[-1][name] = value.contiguous()
        size, total = size + own, total + own
    stem = single.removesuffix(".safetensors")
    files = [f"{stem}-{i:05}-of-{len(groups):05}.safetensors" for i in range(1, len(groups) + 1)]
    files = files if len(groups) > 1 else [single]
    for file, group in zip(files, groups):
        # Not save_file(): it makes files that their owner alone can read, useless where a package is shared.
        write_bytes(folder / file, save(group, metadata={"format": "pt"}))
    if len(groups) > 1:
        places = {name: file for file, group in zip(files, groups) for name in group}
        write_json(folder / index, {"metadata": {"total_size": total}, "weight_map": places})
        files.append(index)
    old = [folder / single, folder / index, *folder.glob(f"{stem}-?????-of-?????.safetensors")]
    for path in old:
        if path.name not in files:
            path.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; WeightsError where it is missing or damaged."""
    return read_json_object(path, WeightsError)


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Tensors of one .safetensors file on the CPU; WeightsError where it is missing or damaged."""
    if not Path(path).is_file():
        raise WeightsError(f"weight file {path} not found")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weight file {path} is damaged or not safetensors: {error}") from None


def read_header(path: Path) -> dict[str, Tensor]:
    """Names, shapes and types of a .safetensors file as tensors without memory; WeightsError as read_safetensors()."""
    if not path.is_file():
        raise WeightsError(f"weight file {path} not found")
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: torch.empty(one.get_shape(), dtype=DTYPES.get(one.get_dtype(), torch.uint8), device="meta")
                for name, one in slices.items()
            }
    except (SafetensorError, OSError, RuntimeError, OverflowError, MemoryError) as error:
        raise WeightsError(f"weight file {path} is damaged or not safetensors: {error}") from None


def read_pickle(path: str | Path) -> Mapping[str, Any]:
    """Content by name of a file that torch.save wrote (.pth, .ckpt, .bin), on the CPU.

    Read with weights_only=True: a pickle that holds anything but weights and plain values is refused, none of its
    code runs. WeightsError where it is missing, damaged, refused, or holds no names.
    """
    if Path(path).exists() and not Path(path).is_file():  # a pipe would keep the reader waiting
        raise WeightsError(f"{path} is not a file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"weight file {path} not found") from None
    except Exception as error:  # pickle's and zip's errors are many
        raise WeightsError(f"{path} is not a file of weights alone: {first_line(error)}") from None
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not weights by name")
    return content
