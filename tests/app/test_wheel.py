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
    subprocess.run([*pip, "install", "--no-deps", "--no-compile", "--target", target, wheel], check=True)
    return target


def test_it_answers_about_one_of_its_examples_and_its_page_finds_them(installed: Path) -> None:
    photograph = installed / "dynrefer" / "_data" / "assets" / "examples" / "cat.jpg"
    command = ["refer", str(photograph), "--box", "10", "10", "200", "200", "--json", "-"]
    program = f"""
import gc
gc.disable()  # a quarter faster
from dynrefer import Predictor
from dynrefer.__main__ import main
from dynrefer.checkpoint import shipped
from dynrefer.ui.page import build_page
assert main({command}) == 0
build_page(Predictor.from_pretrained())
print(shipped("assets/examples"))
"""
    environment = os.environ | {"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
    environment.pop("DYNREFER_MODEL", None)
    ran = [sys.executable, "-c", program]
    done = subprocess.run(ran, cwd=installed.parent, env=environment, check=True, capture_output=True, text=True)
    answers, _, shown = done.stdout.rstrip().rpartition("\n")
    (answer,) = json.loads(answers)
    assert answer["model"] == "dynrefer-mini"
    assert answer["caption"]["text"]
    assert Path(shown) == photograph.parent
