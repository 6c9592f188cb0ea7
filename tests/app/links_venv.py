"""A virtual environment that holds exactly what a requirement file asks for, in a second and without a copy."""

import sys
import venv
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement


def read_requirements(path: Path) -> list[Requirement]:
    """The requirements of a file that has one a line, with comments."""
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def closure(requirements: Iterable[Requirement]) -> dict[str, Distribution]:
    """Name -> installed distribution of everything that the requirements need, directly or not."""
    waiting, seen, found = list(requirements), set(), {}
    while waiting:
        requirement = waiting.pop()
        key = (requirement.name, frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        found[requirement.name] = installed = distribution(requirement.name)
        for needed in map(Requirement, installed.requires or []):
            environments = ({"extra": extra} for extra in {"", *requirement.extras})
            if not needed.marker or any(needed.marker.evaluate(environment) for environment in environments):
                waiting.append(needed)
    return found


def make_venv(folder: Path, requirements: Path) -> Path:
    """Make the environment from this interpreter's installed packages by links; returns its Python."""
    venv.create(folder, symlinks=True)
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for installed in closure(read_requirements(requirements)).values():
        for entry in {file.parts[0] for file in installed.files or []} - {"..", "__pycache__"}:
            if not (packages / entry).exists():
                (packages / entry).symlink_to(Path(str(installed.locate_file(entry))))
    return folder / "bin" / "python"
