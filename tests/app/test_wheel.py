"""A wheel built from this checkout answers by itself where nothing else of the checkout is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "requirements.txt", "README.md", "LICENSE")
FOLDERS = ("dynrefer", "checkpoints/dynrefer-mini", "assets/examples")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel was installed into, of libraries it has those of this interpreter."""
    source, built, target = (tmp_path_factory.mktemp(name) for name in ("source", "built", "installed"))
    for name in SOURCES:
        shutil.copy(ROOT / name, source)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", built, source], check=True)
    shutil.rmtree(source)
    (wheel,) = built.iterdir()
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True)
    return target


def python(installed: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
    environment.pop("DYNREFER_MODEL", None)
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=installed.parent, env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_it_answers_about_one_of_its_examples(installed: Path) -> None:
    photograph = installed / "dynrefer" / "_data" / "assets" / "examples" / "cat.jpg"
    arguments = ("refer", str(photograph), "--box", "10", "10", "200", "200", "--json", "-")
    output = python(installed, "-m", "dynrefer", *arguments)
    (answer,) = json.loads(output)
    assert answer["model"] == "dynrefer-mini"
    assert answer["caption"]["text"]


def test_its_page_finds_its_examples_and_files(installed: Path) -> None:
    loaded = "from dynrefer import Predictor; from dynrefer.ui.page import build_page"
    python(installed, "-c", f"{loaded}; build_page(Predictor.from_pretrained())")
    shown = python(installed, "-c", "from dynrefer.checkpoint import shipped; print(shipped('assets/examples'))")
    assert Path(shown.strip()) == installed / "dynrefer" / "_data" / "assets" / "examples"
