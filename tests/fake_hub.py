"""A hub on the disk in the place of huggingface_hub's functions: what is asked of it fits their real signatures."""

import inspect
import shutil
from pathlib import Path

import huggingface_hub
from huggingface_hub.utils import filter_repo_objects

REAL = {name: getattr(huggingface_hub, name) for name in ("snapshot_download", "hf_hub_download", "HfApi")}


class FakeHub:
    """Repositories under `folder`/hub, one folder a revision; what is downloaded lies under `folder`/cache.

    Private ones, which push_to_hub made so, are given to whom has the token. `asked` counts requests.
    """

    def __init__(self, folder: Path, token: str = "secret") -> None:
        self.folder, self.token, self.private, self.asked = folder, token, set(), 0

    def install(self, monkeypatch) -> "FakeHub":
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.download)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", self.download_file)
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda token=None: FakeApi(self, token))
        return self

    def files(self, name: str, revision: str = "main") -> list[str]:
        """Names of a repository's files."""
        folder = self.folder / "hub" / name / revision
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    def admit(self, name: str, token: object) -> None:
        self.asked += 1
        if name in self.private and token != self.token:
            raise PermissionError("401 Client Error: the repository is private\nlog in")

    def download(self, name, **options):
        inspect.signature(REAL["snapshot_download"]).bind(name, **options)
        revision = options.get("revision") or "main"
        cache = self.folder / "cache" / name / revision
        if options.get("local_files_only"):
            if not cache.is_dir():
                raise FileNotFoundError("no snapshot folder on this disk")
            return str(cache)
        self.admit(name, options.get("token"))
        if not (self.folder / "hub" / name / revision).is_dir():
            raise LookupError(f"404 Client Error: no {name} at {revision}")
        chosen = {key: options.get(key) for key in ("allow_patterns", "ignore_patterns")}
        for file in filter_repo_objects(self.files(name, revision), **chosen):
            (cache / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / "hub" / name / revision / file, cache / file)
        return str(cache)

    def download_file(self, name, file, **options):
        inspect.signature(REAL["hf_hub_download"]).bind(name, file, **options)
        folder = self.download(name, revision=options.get("revision"), allow_patterns=[file])
        return str(Path(folder) / file)


class FakeApi:
    """HfApi as far as it is used; each call is checked against the real method."""

    def __init__(self, hub: FakeHub, token: object) -> None:
        self.hub, self.token = hub, token

    def create_repo(self, repo_id, **options):
        self._check("create_repo", repo_id, options)
        if options.get("private"):
            self.hub.private.add(repo_id)
        (self.hub.folder / "hub" / repo_id / "main").mkdir(parents=True, exist_ok=options["exist_ok"])

    def create_branch(self, repo_id, **options):
        self._check("create_branch", repo_id, options)
        (self.hub.folder / "hub" / repo_id / options["branch"]).mkdir(exist_ok=options["exist_ok"])

    def file_exists(self, repo_id, filename, **options):
        self._check("file_exists", repo_id, {"filename": filename, **options})
        return filename in self.hub.files(repo_id, options.get("revision") or "main")

    def upload_folder(self, *, repo_id, folder_path, revision, **options):
        self._check("upload_folder", repo_id, {"folder_path": folder_path, "revision": revision, **options})
        target = self.hub.folder / "hub" / repo_id / (revision or "main")
        old = filter_repo_objects(
            self.hub.files(repo_id, revision or "main"), allow_patterns=options.get("delete_patterns") or []
        )
        for file in old:
            (target / file).unlink()
        names = [path.relative_to(folder_path).as_posix() for path in Path(folder_path).rglob("*") if path.is_file()]
        for file in filter_repo_objects(names, ignore_patterns=options.get("ignore_patterns")):
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(folder_path) / file, target / file)

    def _check(self, method, repo_id, options):
        inspect.signature(getattr(REAL["HfApi"], method)).bind(self, repo_id=repo_id, **options)
        self.hub.admit(repo_id, self.token)
