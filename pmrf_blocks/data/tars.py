"""Images inside tar files, as webdataset writes them, read where they lie: for sets that do not fit a disk."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from pmrf_blocks.data.errors import DataError
from pmrf_blocks.data.folders import ImageDataset
from pmrf_blocks.images import IMAGE_SUFFIXES, MAX_PIXELS, ImageError, describe_image, is_hidden, write_whole
from pmrf_blocks.json_files import is_kind, read_json_object
from pmrf_blocks.messages import first_line, short

HEAD = 65_536  # bytes in which nearly always is an image's size


class Member(NamedTuple):
    """A file in a tar: its name, and where its bytes lie."""

    name: str
    offset: int
    size: int


class TarImages(ImageDataset):
    """Images in plain tar files, addressed like those of a folder: batches, order and exact resume are the same.

    Arguments:
        tars: paths, or addresses that fsspec opens ('s3://', 'hf://', 'https://' of a server that gives ranges).
        index: folder that keeps each tar's list of files, so that it is read only once; None reads the heads of all
            files at every start.
        size, crop, flip, keep, max_pixels, strict: as of ImageDataset.

    Images are known by their suffix; hidden files and others, such as captions, are passed over. DataError where a tar
    is missing, compressed (its files cannot be reached singly), cut short, or where there are no images at all. The
    images of addresses are not looked at before the first step: that would fetch all of them.

    Examples:
        >>> import tarfile, tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (40, 40)).save(f"{folder}/0001.png")
        ...     with tarfile.open(f"{folder}/shard-0000.tar", "w") as tar:
        ...         tar.add(f"{folder}/0001.png", "0001.png")
        ...     images = TarImages([f"{folder}/shard-0000.tar"], size=32)
        ...     images[0].shape, len(images)
        (torch.Size([3, 32, 32]), 1)
    """

    def __init__(
        self,
        tars: Sequence[str | Path],
        *,
        index: str | Path | None = None,
        size: int | None = None,
        crop: int | None = None,
        flip: bool = False,
        keep: bool = False,
        max_pixels: int = MAX_PIXELS,
        strict: bool = False,
    ) -> None:
        self.tars = [str(tar) for tar in tars]
        members = [(tar, member) for tar in self.tars for member in _members(tar, index)]
        self.places = [(tar, one) for tar, one in members if _is_picture(one.name)]
        if not self.places:
            raise DataError(f"0 images among the {len(members)} files of {self.where}")
        paths = [Path(tar, member.name) for tar, member in self.places]
        super().__init__(paths, size=size, crop=crop, flip=flip, keep=keep, max_pixels=max_pixels, strict=strict)

    @property
    def where(self) -> str:
        if len(self.tars) < 2:
            return "".join(self.tars) or "0 tar files"
        return f"{len(self.tars)} tar files from {self.tars[0]} to {self.tars[-1]}"

    def open(self, index: int) -> BinaryIO:
        tar, member = self.places[index]
        return io.BytesIO(_read(tar, member.offset, member.size))

    def head(self, index: int) -> BinaryIO:
        tar, member = self.places[index]
        head = io.BytesIO(_read(tar, member.offset, min(HEAD, member.size)))
        try:
            describe_image(head, max_pixels=self.max_pixels)
        except ImageError:  # its size stands further in
            return self.open(index)
        return head

    def problems(self, indices: Iterable[int], *, batched: bool = True) -> list[tuple[Path, str]]:
        near = [index for index in indices if not _is_address(self.places[index][0])]
        return super().problems(near, batched=batched)


def _members(tar: str, index: str | Path | None) -> list[Member]:
    """Files of a tar in their order, from the index where that is of the same tar, else from the tar itself."""
    length, changed = _state(tar)
    state = [length, changed]
    kept = None if index is None else Path(index) / f"{hashlib.sha256(tar.encode()).hexdigest()[:16]}.json"
    if kept is not None and kept.exists():
        there = _indexed(kept, state, length)
        if there is not None:
            return there
    members = _scan(tar, length)
    if kept is not None:
        text = json.dumps({"tar": tar, "state": state, "members": members})
        write_whole(kept, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return members


def _indexed(kept: Path, state: list[int | None], length: int) -> list[Member] | None:
    """The files that an index lists; None where it is of another tar, or damaged: it is made again then."""
    try:
        there = read_json_object(kept, DataError, {"state": list, "members": list})
        members = [Member(*row) for row in there["members"]]
    except (DataError, TypeError):
        return None
    whole = all(is_kind(one.name, str) and _fits(one, length) for one in members)
    return members if whole and there["state"] == state else None


def _fits(one: Member, length: int) -> bool:
    whole = is_kind(one.offset, int) and is_kind(one.size, int)
    return whole and one.offset >= 0 and one.size >= 0 and one.offset + one.size <= length


def _scan(tar: str, length: int) -> list[Member]:
    members = []
    try:
        with _open(tar) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for entry in archive:
                if entry.size < 0 or entry.issparse():
                    raise DataError(f"{tar}: {short(entry.name)} is sparse or damaged: it cannot be read where it lies")
                if entry.isfile():
                    members.append(Member(entry.name, entry.offset_data, entry.size))
            file.seek(min(archive.offset, length))
            end = file.read(tarfile.BLOCKSIZE)
    except DataError:
        raise
    except Exception as error:  # tarfile's own, and what damaged numbers and names raise within it
        reason = first_line(error)
        raise DataError(f"cannot read {tar} as a plain tar (compressed ones must be unpacked): {reason}") from None
    if members and not _fits(members[-1], length):
        raise DataError(f"{tar} is cut short: it ends within {members[-1].name}")
    if end.strip(b"\0") or not all(_fits(one, length) for one in members):
        raise DataError(f"{tar} is damaged after {len(members)} files: no header follows")
    return members


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not any(is_hidden(part) for part in path.parts if part != ".")


def _is_address(tar: str) -> bool:
    return "://" in tar


def _file_system(tar: str) -> tuple[Any, str]:
    import fsspec  # comes with huggingface_hub

    return fsspec.core.url_to_fs(tar)


def _state(tar: str) -> tuple[int, int | None]:
    """(bytes, time of change in ns where it is known)."""
    try:
        if _is_address(tar):
            system, path = _file_system(tar)
            return int(system.info(path)["size"]), None
        state = os.stat(tar)
    except (OSError, ImportError, ValueError) as error:
        raise DataError(f"cannot find {tar}: {error}") from None
    return state.st_size, state.st_mtime_ns


def _open(tar: str) -> Any:
    if _is_address(tar):
        system, path = _file_system(tar)
        return system.open(path, "rb")
    return open(tar, "rb")


def _read(tar: str, offset: int, size: int) -> bytes:
    """Bytes of a tar, without any state that threads or forked processes would share."""
    if _is_address(tar):
        system, path = _file_system(tar)
        return system.cat_file(path, start=offset, end=offset + size)
    with open(tar, "rb") as file:
        file.seek(offset)
        return file.read(size)
