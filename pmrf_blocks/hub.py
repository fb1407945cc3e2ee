"""The Hugging Face hub: a model's folder there brought to this machine, and a folder here uploaded."""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pmrf_blocks.messages import first_line, short
from pmrf_blocks.weight_files import CONFIG, WeightsError, check_variant, replaced_by

if TYPE_CHECKING:
    from pmrf_blocks.model_cards import Place

REVISION = re.compile(r"\w[\w./-]*")
CARD, PICTURE = "README.md", "card.jpg"  # a model card, and its picture
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def hub() -> Any:
    """The module huggingface_hub, imported when it is first needed; WeightsError says how to install it."""
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise WeightsError("the hub needs the package huggingface_hub: pip install huggingface_hub") from None


def is_hub_id(name: str) -> bool:
    """Whether a string can be a hub id, 'owner/name'."""
    return ".." not in name and HUB_ID.fullmatch(name) is not None


def at_revision(name: str) -> tuple[str, str | None]:
    """(hub id, revision or None) of 'owner/name' or 'owner/name@revision'; ('', None) of what is neither."""
    repo, at, revision = name.partition("@")
    if not is_hub_id(repo) or (at and (".." in revision or not REVISION.fullmatch(revision))):
        return "", None
    return repo, revision or None


def locate(
    path_or_repo: str | Path,
    *,
    subfolder: str = "",
    patterns: Sequence[str] | None = None,
    variant: str | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Path:
    """A local folder, or the snapshot of a hub id 'owner/name' or 'owner/name@revision'; the folder `subfolder` in it.

    Arguments:
        subfolder: where in it the model lies, such as 'vae'; of a hub's files no others are downloaded.
        patterns: of the files to download, within `subfolder`; config and weights unless given.
        variant: download the weights of this variant alone, those of none unless given.
        revision: of the hub: a branch, a tag or a commit; what stands after the @, else its main branch, unless given.
        token: of the hub, for private models; True takes the one that is stored on this machine, False none.
        local_files_only: take what was downloaded before, and do not ask the hub.

    A folder on the disk is never the hub, and all these mean nothing to it: a Path is no hub id, and neither is a
    string whose first part is a folder here. Else a stranger who takes the name of a missing folder would be loaded.
    WeightsError where nothing is found.
    """
    if Path(subfolder).is_absolute() or ".." in Path(subfolder).parts:
        raise WeightsError(f"subfolder must lie within the model; got {short(subfolder)}")
    path = Path(path_or_repo).expanduser()
    if path.is_dir():
        return within(path, subfolder)
    if path.exists():
        raise WeightsError(f"{path} is a file; a model is a folder with {CONFIG}, or a hub id")
    name, said = at_revision(str(path_or_repo))
    if isinstance(path_or_repo, Path) or not name:
        raise WeightsError(f"no folder {path}, and not a hub id (owner/name or owner/name@revision) either")
    if Path(path.parts[0]).exists():
        raise WeightsError(f"no folder {path} in {path.parts[0]}, which is a folder here and not the hub's")
    if said and revision not in (None, said):
        raise WeightsError(f"{path_or_repo} is asked for at revision {revision}: say one of the two")
    revision = revision or said
    package = hub()
    options = {"revision": revision, "token": token, "local_files_only": local_files_only}
    files = download_patterns(variant) if patterns is None else {"allow_patterns": list(patterns)}
    if subfolder:
        files["allow_patterns"] = [f"{Path(subfolder).as_posix()}/{pattern}" for pattern in files["allow_patterns"]]
    try:
        snapshot = Path(package.snapshot_download(name, **files, **options))
    except Exception as error:  # the hub's errors are many: network, authorisation, absence
        reason = first_line(error)
        at = f" at revision {revision}" if revision else ""
        where = "among what was downloaded before" if local_files_only else "from the hub"
        raise WeightsError(f"cannot get {name}{at} {where}: {reason}") from None
    return within(snapshot, subfolder)


def within(folder: Path, subfolder: str) -> Path:
    """The folder `subfolder` in another; WeightsError where there is none."""
    if not (folder / subfolder).is_dir():
        raise WeightsError(f"no folder {subfolder} in {folder}")
    return folder / subfolder


def download_patterns(variant: str | None) -> dict[str, list[str]]:
    """Of the hub's files those that a model of this variant is read from, in whatever folders, for snapshot_download().

    Most repositories with a half-precision variant hold the whole precision too, and one of them is enough.
    """
    check_variant(variant)
    if variant is None:
        return {"allow_patterns": ["*.json", "*.safetensors"], "ignore_patterns": ["*model.*.safetensors"]}
    return {"allow_patterns": ["*.json", f"*.{variant}.safetensors", f"*.{variant}-*-of-*.safetensors"]}


class Pushed:
    """Mix-in of a network that has save_pretrained(folder): push_to_hub('owner/name')."""

    def push_to_hub(
        self,
        repo_id: str,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        private: bool | None = None,
        message: str = "Upload model",
        license: str | None = None,
        **saving: Any,
    ) -> None:
        """Upload what save_pretrained() writes, and a model card, to 'owner/name'; errors are those of hub.upload().

        Arguments:
            revision, token, private, message: of hub.upload().
            license: of the weights, for the card: the hub's identifier, such as 'mit'.
            saving: arguments of save_pretrained(): variant, max_shard_bytes, and of a pipeline dtype and picture, which
                is made unasked up to a size of 256 (False: none).

        A README.md that is there already stays as it is.
        """
        from pmrf_blocks.model_cards import Place

        place = Place(repo_id, revision, saving.get("variant"))
        write = partial(self._write_for_hub, place=place, options={"license": license, **saving})
        upload(write, repo_id, revision=revision, token=token, private=private, message=message)

    def _write_for_hub(self, folder: Path, place: Place, options: dict[str, Any]) -> None:
        """What is uploaded to `place`, into an empty folder."""
        from pmrf_blocks.model_cards import network_card, write_card

        model: Any = self
        license = options.pop("license")
        model.save_pretrained(folder, **options)
        write_card(folder, network_card(model, place, license=license))


def upload(
    write: Callable[[Path], None],
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    private: bool | None = None,
    message: str = "Upload model",
) -> None:
    """Upload to 'owner/name' of the hub, which is created if need be, what `write` puts into an empty folder.

    Everything is written before the hub is asked for anything. Weights of the same variant that are there in one file
    or other shards are removed, as they would be read in place of these; all else that is there stays, and so does a
    README.md, in whose place none is uploaded.

    Arguments:
        revision: a branch, which is created if need be; the main branch unless given.
        token: of the hub; the one that is stored on this machine unless given.
        private: whether a model that is created is hidden from others; the hub's own default unless given.
        message: of the commit.

    Raises WeightsError, in one line, for what is no hub id, and for what the hub refuses.
    """
    if not is_hub_id(repo_id):
        raise WeightsError(f"repo_id must be owner/name; got {repo_id!r}")
    package = hub()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        try:
            api = package.HfApi(token=token)
            api.create_repo(repo_id, private=private, exist_ok=True)
            if revision is not None:
                api.create_branch(repo_id, branch=revision, exist_ok=True)
            kept = api.file_exists(repo_id, CARD, revision=revision)
            api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                revision=revision,
                commit_message=message,
                delete_patterns=replaced_by(Path(folder)) or None,
                ignore_patterns=[CARD, PICTURE] if kept else None,
            )
        except Exception as error:  # as in locate()
            raise WeightsError(f"cannot upload to {repo_id} of the hub: {first_line(error)}") from None
