"""Who may import whom."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "dynrefer").rglob("*.py"))
}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """The libraries that a file imports."""
    nodes = list(ast.walk(parsed(path)))
    whole = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    parts = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in (*whole, *parts)}


@cache
def imports(module: str) -> set[str]:
    """The modules of the package that a module imports, inside functions too, but not for types alone."""
    path, found = FILES[module], set[str]()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = parsed(path)
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            found |= {name if (name := f"{source}.{alias.name}") in FILES else source for alias in node.names}
    return (found & FILES.keys()) - {module}


def test_no_module_imports_one_that_imports_it() -> None:
    list(TopologicalSorter({module: imports(module) for module in FILES}).static_order())


def test_no_folder_imports_one_that_imports_it() -> None:
    folders: dict[str, set[str]] = {}
    for module in FILES:
        folder = ".".join(module.split(".")[:2])
        named = {".".join(name.split(".")[:2]) for name in imports(module)}
        folders.setdefault(folder, set()).update(named - {folder, "dynrefer"})
    list(TopologicalSorter(folders).static_order())


def test_the_network_knows_nothing_of_the_package_but_its_errors() -> None:
    known = {name for module in FILES if module.startswith("dynrefer.model") for name in imports(module)}
    assert {name for name in known if not name.startswith("dynrefer.model")} == {"dynrefer.errors"}


@pytest.mark.parametrize(("library", "folder"), [("gradio", "dynrefer.ui"), ("ray", "dynrefer.bulk")])
def test_a_library_that_few_need_is_known_in_one_folder_alone(library: str, folder: str) -> None:
    users = {module for module, path in FILES.items() if imported(path) & {library}}
    assert users
    assert {module for module in users if not module.startswith(folder)} == set()
