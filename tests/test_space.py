"""The files of the dry run are a complete app: it runs from them alone, with requirements.txt alone."""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client, handle_file

from dynrefer.publish import publish
from tests.links_venv import make_venv


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the files that `publish` lists, as the Space would have them."""
    folder = tmp_path_factory.mktemp("space")
    for name, path in publish("someone/looks", dry_run=True).files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    return folder


@pytest.fixture(scope="module")
def url(space: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the app answers that was started from the folder in its own environment, offline."""
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
    command = [str(python), "app.py"]
    with subprocess.Popen(
        command, cwd=space, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as app:
        assert app.stdout
        printed = []
        for line in app.stdout:
            printed.append(line)
            if address := re.search(r"http://[\w.]+:\d+", line):
                yield address.group()
                break
        else:
            pytest.fail("the app stopped before it served the page:\n" + "".join(printed))
        app.terminate()


def test_published_app_answers_about_its_own_example(space: Path, url: str) -> None:
    example = json.loads((space / "assets" / "examples" / "examples.json").read_text())[0]
    client = Client(url, verbose=False)
    photograph = handle_file(space / "assets" / "examples" / example["file"])
    (answer,) = client.predict(photograph, [example["box"]], None, api_name="/refer")
    assert answer["box"] == example["box"]
    assert answer["caption"]["text"].strip()


def test_front_matter_names_files_and_versions_that_exist(space: Path) -> None:
    front = (space / "README.md").read_text().split("---")[1]
    settings = dict(line.split(": ", 1) for line in front.splitlines() if re.match(r"\w+: ", line))
    assert (space / settings["app_file"]).is_file()
    requirement = re.search(r"^gradio.*?>=([\d.]+)", (space / "requirements.txt").read_text(), re.MULTILINE)
    assert requirement
    assert settings["sdk_version"].startswith(requirement.group(1))
    assert len(settings["short_description"].strip('"')) <= 60
