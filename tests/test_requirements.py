"""The requirement files name every package that the code imports, and the app needs no development package."""

import ast
import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
IMPORTS = (ast.Import, ast.ImportFrom)
DEVELOPMENT = ("training", "evaluation", "datasets")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: str) -> set[str]:
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in (ROOT / requirements).read_text().splitlines())
    return {canonical(name.group()) for name in names if name and not name.group().startswith("-")}


def modules(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def imported(path: Path) -> set[str]:
    return (
        modules(ast.parse(path.read_text()))
        - set(sys.stdlib_module_names)
        - {"dynrefer", "tests", "benchmarks", "recipes"}
    )


def is_development(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return parts[0] in ("tests", "benchmarks", "recipes") or (parts[0] == "dynrefer" and parts[1] in DEVELOPMENT)


@cache
def installed() -> Mapping[str, list[str]]:
    """The packages that each module may be of."""
    return packages_distributions()


def undeclared(paths: list[Path], allowed: set[str]) -> set[tuple[str, str]]:
    """What is imported and not allowed; a package that is not installed here is known by the name of its module."""
    owners = installed()
    return {
        (path.relative_to(ROOT).as_posix(), module)
        for path in paths
        for module in imported(path)
        if module != "spaces" and not {canonical(owner) for owner in owners.get(module, [module])} & allowed
    }


@pytest.fixture(scope="module")
def sources() -> list[Path]:
    folders = ("dynrefer", "tests", "benchmarks", "recipes")
    return [ROOT / "app.py", *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]


def test_the_app_imports_only_what_requirements_names(sources: list[Path]) -> None:
    app = [path for path in sources if not is_development(path)]
    scale = [path for path in app if "bulk" in path.parts]
    assert undeclared([path for path in app if path not in scale], declared("requirements.txt")) == set()
    assert undeclared(scale, declared("requirements.txt") | declared("requirements-scale.txt")) == set()


def test_development_code_imports_only_what_both_files_name(sources: list[Path]) -> None:
    development = [path for path in sources if is_development(path)]
    allowed = declared("requirements.txt") | declared("requirements-dev.txt")
    tests = [path for path in development if "benchmarks" not in path.parts]
    assert undeclared(tests, allowed) == set()
    assert undeclared(development, allowed | declared("requirements-scale.txt")) == set()


def test_what_only_many_machines_need_is_imported_inside_functions_alone(sources: list[Path]) -> None:
    heavy = {"ray", "pyarrow"}
    for path in sources:
        if path.relative_to(ROOT).parts[0] in ("dynrefer", "app.py"):
            body = ast.Module([node for node in ast.parse(path.read_text()).body if isinstance(node, IMPORTS)], [])
            assert not heavy & modules(body), path
