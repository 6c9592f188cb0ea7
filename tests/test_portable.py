"""The package imports where Linux's own modules are missing, as on Windows and macOS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
IMPORT_EVERYTHING = """
import gc, importlib, json, os, pkgutil, sys

gc.disable()  # a quarter faster
for name in ("accelerate", "gradio", "platformdirs", "timm", "torch.utils.tensorboard", "transformers"):
    importlib.import_module(name)  # libraries know where they run; what they imported stays theirs
for name in ("fcntl", "resource", "grp", "pwd", "termios"):
    sys.modules[name] = None
for name in ("posix_fallocate", "fork", "getuid", "geteuid", "sched_getaffinity", "register_at_fork", "uname"):
    if hasattr(os, name):
        delattr(os, name)
import dynrefer

failed = {}
for module in pkgutil.walk_packages(dynrefer.__path__, "dynrefer."):
    try:
        importlib.import_module(module.name)
    except Exception as error:
        failed[module.name] = repr(error)
print(json.dumps(failed))
"""


def test_every_module_imports_without_the_modules_that_only_some_systems_have() -> None:
    command = [sys.executable, "-c", IMPORT_EVERYTHING]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[-1]) == {}


def test_importing_the_package_imports_none_of_its_libraries() -> None:
    heavy = "{'torch', 'transformers', 'numpy', 'gradio', 'PIL', 'pydantic'}"
    program = f"import sys, dynrefer, dynrefer.__main__; print(sorted({heavy} & sys.modules.keys()))"
    command = [sys.executable, "-c", program]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout == "[]\n"
