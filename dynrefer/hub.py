"""Puts the app on a Hugging Face Space and a checkpoint on the Hub: `python -m dynrefer publish --space USER/NAME`."""

from __future__ import annotations

import glob
import os
import subprocess
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from dynrefer.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
SPACE = ("app.py", "README.md", "LICENSE", "requirements.txt", "dynrefer", "assets", "checkpoints/dynrefer-mini")
CHECKPOINT = ("README.md", "*.json", "*.safetensors")
MANIFEST = "MANIFEST"  # where there is no git: the files that belong to the project, one a line
# The base is httpx's or httpx2's, by release of huggingface_hub.
NETWORK_ERRORS: tuple[type[Exception], ...] = (OSError, HfHubHTTPError.__bases__[0])


@dataclass(frozen=True)
class Publication:
    """What goes to a repository on the Hub.

    files: path in the repository -> file on this machine. left_out: names beside them that stay here.
    """

    repository: str
    files: dict[str, Path]
    left_out: tuple[str, ...]
    sent: bool

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(path.stat().st_size for path in self.files.values())

    def __str__(self) -> str:
        """One line a file with its size, then the total and what is left out."""
        lines = [f"{path.stat().st_size:>12,}  {name}" for name, path in self.files.items()]
        verb = "sent to" if self.sent else "would go to"
        lines.append(f"{self.size:>12,}  bytes in {len(self.files)} files {verb} {self.repository}")
        return "\n".join([*lines, f"left out: {', '.join(self.left_out) or 'nothing'}"])


def publish(
    space: str,
    dry_run: bool = False,
    *,
    root: Path = ROOT,
    private: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
) -> Publication:
    """Upload what git tracks of app, package, assets and checkpoint to the Space `USER/NAME`, made where it is missing.

    Where there is no git, the file `MANIFEST` says what belongs to the project. Links are not followed. The Space then
    holds exactly these files: others are removed from it. A dry run needs no network.

    Raises InputError when the name is no Space name, or something that has to go is missing or is not tracked.
    """
    _check_name(space)
    missing = [name for name in SPACE if not (root / name).exists()]
    if missing:
        raise InputError(f"A Space needs {', '.join(missing)}: publish from a complete checkout of DynRefer.")
    own = _own_files(root)
    names = [name for name in own if any(name == part or name.startswith(f"{part}/") for part in SPACE)]
    files = _files(root, names)
    forgotten = [part for part in SPACE if not any(f"{name}/".startswith(f"{part}/") for name in files)]
    if forgotten:
        raise InputError(f"git does not track {', '.join(forgotten)}, which a Space needs: add it first (git add).")
    if not dry_run:
        _send(HfApi(endpoint, token=token), space, root, files, "space", private)
    return Publication(f"Space {space}", files, tuple(_left_out(root, root, files)), sent=not dry_run)


def push_to_hub(
    folder: Path | str,
    model: str,
    dry_run: bool = False,
    *,
    private: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
) -> Publication:
    """Upload the files of a checkpoint to the model repository `USER/NAME`; `Predictor.from_pretrained` reads it there.

    Raises InputError when the name is no repository name or the folder holds no checkpoint.
    """
    _check_name(model)
    folder = Path(folder)
    missing = [name for name in ("config.json", "model.safetensors") if not any(folder.glob(f"{name}*"))]
    if missing:
        raise InputError(f"{folder} is not a checkpoint folder: it has no {' and no '.join(missing)}.")
    names = sorted(path.name for path in folder.iterdir() if any(fnmatch(path.name, p) for p in CHECKPOINT))
    files = _files(folder, names)
    if not dry_run:
        _send(HfApi(endpoint, token=token), model, folder, files, "model", private)
    return Publication(f"model {model}", files, tuple(_left_out(folder, folder, files)), sent=not dry_run)


def _check_name(repository: str) -> None:
    """Raise InputError unless the name reads USER/NAME."""
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise InputError(f"{repository!r} is no repository name on the Hub: {error}") from error
    if repository.count("/") != 1:
        raise InputError(f"{repository!r} names no owner: write it as USER/NAME.")


def _own_files(root: Path) -> list[str]:
    """Names of the project's own files, from git or from the manifest."""
    if (root / ".git").exists():
        try:
            tracked = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout
            return [os.fsdecode(name) for name in tracked.split(b"\0") if name]
        except (OSError, subprocess.CalledProcessError) as error:
            raise InputError(f"git cannot say which files of {root} it tracks; is it installed?") from error
    try:
        return [line for line in (root / MANIFEST).read_text(encoding="utf-8").splitlines() if line]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{root} is no git checkout: publish from one, or list the files to send in {root / MANIFEST}, one a line."
        ) from error


def _files(root: Path, names: Iterable[str]) -> dict[str, Path]:
    """Those of the names that are files inside `root`, not links to elsewhere, in a fixed order."""
    real = root.resolve()
    return {name: root / name for name in sorted(names) if _is_plain(real / name, real)}


def _is_plain(path: Path, root: Path) -> bool:
    return path.is_file() and path.resolve() == path and path.is_relative_to(root)


def _left_out(folder: Path, root: Path, files: Collection[str]) -> Iterator[str]:
    """Entries below a folder that stay here; a folder of which nothing goes is one entry."""
    for path in sorted(folder.iterdir()):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            yield f"{name} (a link)"
        elif path.is_dir() and any(sent.startswith(f"{name}/") for sent in files):
            yield from _left_out(path, root, files)
        elif name not in files and path.name != "__pycache__":
            yield f"{name}/" if path.is_dir() else name


def _send(api: HfApi, repository: str, root: Path, files: Collection[str], kind: str, private: bool) -> None:
    """One commit that leaves exactly these files in the repository. Raises InputError when the Hub does not take it."""
    sdk = "gradio" if kind == "space" else None
    try:
        api.create_repo(repository, repo_type=kind, private=private, exist_ok=True, space_sdk=sdk)
        api.upload_folder(
            repo_id=repository,
            repo_type=kind,
            folder_path=root,
            allow_patterns=[glob.escape(name) for name in files],
            delete_patterns="*",
            commit_message="Publish DynRefer",
        )
    except HfHubHTTPError as error:
        reason = error.server_message or f"status {error.response.status_code}"
        raise InputError(
            f"The Hub refused {repository}: {reason}. Is it yours, and did you run `hf auth login`?"
        ) from error
    except NETWORK_ERRORS as error:
        raise InputError(f"The Hub cannot be reached from here ({error}); a dry run needs no network.") from error
