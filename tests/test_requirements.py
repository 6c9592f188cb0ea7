"""The requirement files name every package that the code imports, and the app needs no development package."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEVELOPMENT = ("training", "evaluation", "datasets")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: str) -> set[str]:
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in (ROOT / requirements).read_text().splitlines())
    return {canonical(name.group()) for name in names if name and not name.group().startswith("-")}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"dynrefer", "tests", "benchmarks", "recipes"}


def is_development(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return parts[0] in ("tests", "benchmarks", "recipes") or (parts[0] == "dynrefer" and parts[1] in DEVELOPMENT)


def undeclared(paths: list[Path], allowed: set[str]) -> set[tuple[str, str]]:
    owners = packages_distributions()
    return {
        (path.relative_to(ROOT).as_posix(), module)
        for path in paths
        for module in imported(path)
        if module != "spaces" and not {canonical(owner) for owner in owners.get(module, [])} & allowed
    }


@pytest.fixture(scope="module")
def sources() -> list[Path]:
    folders = ("dynrefer", "tests", "benchmarks", "recipes")
    return [ROOT / "app.py", *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]


def test_the_app_imports_only_what_requirements_names(sources: list[Path]) -> None:
    app = [path for path in sources if not is_development(path)]
    assert undeclared(app, declared("requirements.txt")) == set()


def test_development_code_imports_only_what_both_files_name(sources: list[Path]) -> None:
    development = [path for path in sources if is_development(path)]
    assert undeclared(development, declared("requirements.txt") | declared("requirements-dev.txt")) == set()
