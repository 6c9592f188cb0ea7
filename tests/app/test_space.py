"""The files of `publish --dry-run` are a complete Space."""

import json
import re
from pathlib import Path

import pytest
from gradio_client import Client, handle_file

pytestmark = pytest.mark.slow


def test_published_app_answers_about_its_own_example(space: Path, app_url: str) -> None:
    example = json.loads((space / "assets" / "examples" / "examples.json").read_text())[0]
    client = Client(app_url, verbose=False)
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
    assert len(settings["short_description"]) <= 60
