"""What the README shows works as it stands there, asked of the app that `publish` would send to a Space."""

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from dynrefer.__main__ import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
ADDRESS = "http://127.0.0.1:7860"


def block(language: str, mark: str) -> str:
    """The README's code block in `language` that contains `mark`."""
    (found,) = [code for code in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if mark in code]
    return str(found)


def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line for the shell."""
    shell = ["bash", "-c", command]
    return subprocess.run(shell, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """What a program in Python prints."""
    monkeypatch.chdir(ROOT)

    def run_it(program: str) -> str:
        capsys.readouterr()
        exec(compile(program, "README.md", "exec"), {"__name__": "__main__"})
        return capsys.readouterr().out

    return run_it


def test_python_example_prints_a_caption_and_a_class_of_the_list(printed: Callable[[str], str]) -> None:
    assert re.search(r"\w+ (dog|cat|bench) \['", printed(block("python", "from dynrefer import Predictor")))


def test_command_line_example_prints_json_and_imports_no_library_that_it_does_not_need() -> None:
    command = block("sh", "dynrefer refer assets").splitlines()[0].replace("python", sys.executable, 1)
    done = run(command, PYTHONPROFILEIMPORTTIME="1")
    (entry,) = json.loads(done.stdout)
    assert entry["box"] == [258, 148, 594, 658]
    assert entry["classes"][0]["name"] == "dog"
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"torch", "dynrefer.predictor"} <= imported
    heavy = {"torch._dynamo", "sympy", "timm", "torchvision", "transformers", "gradio", "huggingface_hub", "httpx"}
    assert imported & heavy == set()


def test_client_example_prints_a_caption(app_url: str, printed: Callable[[str], str]) -> None:
    assert printed(block("python", "gradio_client").replace(ADDRESS, app_url)).splitlines()[-1].strip()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_example_receives_the_answer(app_url: str) -> None:
    answer = json.loads(run(block("sh", "curl").replace(ADDRESS, app_url)).stdout)
    assert answer["regions"][0]["box"] == [258, 148, 594, 658]


def test_mcp_example_is_a_server_whose_tool_answers(app_url: str) -> None:
    settings = json.loads(block("json", "mcpServers").replace(ADDRESS, app_url))
    photograph = base64.b64encode((ROOT / "assets" / "examples" / "puppy.jpg").read_bytes()).decode()

    async def ask() -> str:
        async with (
            streamable_http_client(settings["mcpServers"]["dynrefer"]["url"]) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            (tool,) = [tool for tool in (await session.list_tools()).tools if tool.name.endswith("refer")]
            asked = {"image": f"data:image/jpeg;base64,{photograph}", "boxes": [[258, 148, 594, 658]]}
            answer = await session.call_tool(tool.name, asked)
            assert not answer.isError, answer.content
            return str(answer.content[0].text)  # type: ignore[union-attr]

    assert json.loads(asyncio.run(ask()))[0]["box"] == [258, 148, 594, 658]


def test_links_and_pictures_of_the_repository_exist() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert [target for target in targets if not (ROOT / unquote(target)).exists()] == []


def test_layout_names_what_is_there() -> None:
    (tree,) = re.findall(r"## What is where\n\n```\n(.*?)```", README, re.DOTALL)
    folder, missing = "", []
    for line in tree.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = name if name.endswith("/") else ""
        path = name if not line.startswith(" ") else folder + name
        missing += [path] if not (ROOT / path).exists() else []
    assert missing == []
    modules = {path.name for path in (ROOT / "dynrefer").glob("*.py")} - {"__init__.py"}
    assert {module for module in modules if f"  {module}" not in tree} == set()


@pytest.mark.parametrize("command", re.findall(r"^python -m dynrefer (.+?)(?:  +#.*)?$", README, re.MULTILINE))
def test_command_names_options_that_exist(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = command.split()
    names = words[:2] if words[0] == "data" else words[:1]
    with pytest.raises(SystemExit):
        main([*names, "--help"])
    offered = capsys.readouterr().out
    assert [word for word in words if word.startswith("--") and word not in offered] == []


def test_front_matter_names_files_and_versions_that_exist(space: Path) -> None:
    front = (space / "README.md").read_text().split("---")[1]
    settings = dict(line.split(": ", 1) for line in front.splitlines() if re.match(r"\w+: ", line))
    assert (space / settings["app_file"]).is_file()
    requirement = re.search(r"^gradio.*?>=([\d.]+)", (space / "requirements.txt").read_text(), re.MULTILINE)
    assert requirement
    assert settings["sdk_version"].startswith(requirement.group(1))
    assert len(settings["short_description"]) <= 60
