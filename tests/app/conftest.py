"""The app, started once from the files that `publish` lists."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynrefer.hub import publish
from tests.app.links_venv import make_venv


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the files that `publish` lists, as the Space would have them."""
    folder = tmp_path_factory.mktemp("space")
    for name, path in publish("someone/looks", dry_run=True).files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    return folder


@pytest.fixture(scope="module")
def app_url(space: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the app answers that runs from that folder, offline, in an environment with requirements.txt alone."""
    home = tmp_path_factory.mktemp("home")
    python = make_venv(home / "venv", space / "requirements.txt")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        "GRADIO_SERVER_PORT": str(port),
    }
    with subprocess.Popen(
        [str(python), "app.py"], cwd=space, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as app:
        yield _address(app)
        app.terminate()


def _address(app: subprocess.Popen[str]) -> str:
    """The address that the app prints when it serves the page."""
    assert app.stdout
    printed = []
    for line in app.stdout:
        printed.append(line)
        if address := re.search(r"http://[\w.]+:\d+", line):
            return address.group()
    pytest.fail("the app stopped before it served the page:\n" + "".join(printed))
