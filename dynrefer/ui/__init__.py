"""The page and its HTTP API.

Gradio keeps uploads in a folder of this user's own, unless GRADIO_TEMP_DIR names one. Its default, "gradio" in the
temporary directory, may be somebody else's on a shared machine. It is read when gradio is imported.

It also writes stubs for editors whenever a component's class is made, a fifth of the time until the page is there; they
are left out.
"""

import getpass
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType


def own_folder() -> Path:
    """A folder for uploads that nobody else can write to."""
    folder = Path(tempfile.gettempdir()).resolve() / f"dynrefer-{_user()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            raise PermissionError
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:  # somebody else's, or a file
        return Path(tempfile.mkdtemp(prefix="dynrefer-")).resolve()


def _user() -> str:
    try:
        return "".join(letter for letter in getpass.getuser() if letter.isalnum()) or "user"
    except (OSError, KeyError, ImportError):  # a container's user without a name, a system without names
        return str(getattr(os, "getuid", lambda: "user")())


if not os.environ.get("GRADIO_TEMP_DIR"):
    os.environ["GRADIO_TEMP_DIR"] = str(own_folder())


class _WithoutStubs(SourceFileLoader):
    """Loads the module of gradio that writes the stubs, and nothing else."""

    def __init__(self) -> None:
        super().__init__("gradio.component_meta", "")

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == self.name else None
        if spec is not None and spec.origin is not None:
            self.path, spec.loader = spec.origin, self
        return spec

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _write_no_stubs(module)


def _write_no_stubs(module: ModuleType) -> None:
    module.create_or_modify_pyi = lambda *_: None  # type: ignore[attr-defined]


if "gradio.component_meta" in sys.modules:
    _write_no_stubs(sys.modules["gradio.component_meta"])
else:
    sys.meta_path.insert(0, _WithoutStubs())
