"""The recipe uses the package, never the other way round."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("folder", ["dynrefer", "benchmarks"])
def test_the_package_does_not_import_the_recipe(folder: str) -> None:
    importing = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom) and "recipes" in ast.unparse(node)
    }
    assert importing == set()
