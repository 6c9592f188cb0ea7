"""Puts the app on a Hugging Face Space and a checkpoint on the Hub: `python -m dynrefer publish --space USER/NAME`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from dynrefer.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
SPACE = ("app.py", "README.md", "LICENSE", "requirements.txt", "dynrefer", "assets", "checkpoints/dynrefer-mini")
MADE_HERE = {".pyc", ".pyi"}  # written beside the sources by Python and by Gradio
# The base is httpx's or httpx2's, by release of huggingface_hub.
NETWORK_ERRORS: tuple[type[Exception], ...] = (OSError, HfHubHTTPError.__bases__[0])
HUB_FILES = {".gitattributes"}  # written by the Hub itself, never removed


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
    """Upload app, package, assets and checkpoint to the Space `USER/NAME`, which is made where it is missing.

    The Space then holds exactly these files: others are removed from it. A dry run needs no network.
    Raises InputError when the name is no Space name or something that has to go is missing.
    """
    _check_name(space)
    missing = [name for name in SPACE if not (root / name).exists()]
    if missing:
        raise InputError(f"A Space needs {', '.join(missing)}: publish from a complete checkout of DynRefer.")
    files = {path.relative_to(root).as_posix(): path for path in _files(root / name for name in SPACE)}
    if not dry_run:
        _send(HfApi(endpoint, token=token), space, files, "space", private)
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
    """Upload a checkpoint folder to the model repository `USER/NAME`; `Predictor.from_pretrained` reads it there.

    Raises InputError when the name is no repository name or the folder holds no checkpoint.
    """
    _check_name(model)
    folder = Path(folder)
    missing = [name for name in ("config.json", "model.safetensors") if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} is not a checkpoint folder: it has no {' and no '.join(missing)}.")
    files = {path.relative_to(folder).as_posix(): path for path in _files([folder])}
    if not dry_run:
        _send(HfApi(endpoint, token=token), model, files, "model", private)
    return Publication(f"model {model}", files, tuple(_left_out(folder, folder, files)), sent=not dry_run)


def _check_name(repository: str) -> None:
    """Raise InputError unless the name reads USER/NAME."""
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise InputError(f"{repository!r} is no repository name on the Hub: {error}") from error
    if repository.count("/") != 1:
        raise InputError(f"{repository!r} names no owner: write it as USER/NAME.")


def _files(roots: Iterable[Path]) -> Iterator[Path]:
    """All files at or below the roots, in a fixed order, without caches and hidden files."""
    for root in roots:
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            inside = path.relative_to(root).parts
            hidden = any(part.startswith(".") or part == "__pycache__" for part in inside)
            if path.is_file() and not hidden and path.suffix not in MADE_HERE:
                yield path


def _left_out(folder: Path, root: Path, files: dict[str, Path]) -> Iterator[str]:
    """Entries below a folder that stay here; a folder of which nothing goes is one entry."""
    for path in sorted(folder.iterdir()):
        name = path.relative_to(root).as_posix()
        if path.is_dir() and any(sent.startswith(f"{name}/") for sent in files):
            yield from _left_out(path, root, files)
        elif name not in files and path.name != "__pycache__" and path.suffix not in MADE_HERE:
            yield f"{name}/" if path.is_dir() else name


def _send(api: HfApi, repository: str, files: dict[str, Path], kind: str, private: bool) -> None:
    """One commit that leaves exactly these files in the repository. Raises InputError when the Hub does not take it."""
    sdk = "gradio" if kind == "space" else None
    additions = [CommitOperationAdd(name, path) for name, path in files.items()]
    try:
        api.create_repo(repository, repo_type=kind, private=private, exist_ok=True, space_sdk=sdk)
        stale = set(api.list_repo_files(repository, repo_type=kind)) - set(files) - HUB_FILES
        deletions = [CommitOperationDelete(name) for name in sorted(stale)]
        api.create_commit(repository, [*additions, *deletions], commit_message="Publish DynRefer", repo_type=kind)
    except HfHubHTTPError as error:
        reason = error.server_message or f"status {error.response.status_code}"
        raise InputError(
            f"The Hub refused {repository}: {reason}. Is it yours, and did you run `hf auth login`?"
        ) from error
    except NETWORK_ERRORS as error:
        raise InputError(f"The Hub cannot be reached from here ({error}); a dry run needs no network.") from error
