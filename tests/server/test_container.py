"""The steps of the Dockerfile, as far as they can be taken without docker."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dynrefer.__main__ import main
from dynrefer.server.app import PATHS, PORT

ROOT = Path(__file__).resolve().parents[2]
TEXT = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
STEPS = [(step, rest) for step, _, rest in (line.partition(" ") for line in TEXT.splitlines()) if step.isupper()]
COPIED = [name for step, rest in STEPS if step == "COPY" for name in shlex.split(rest)[:-1]]


def told(step: str) -> str:
    """The last instruction of its kind."""
    return [rest for name, rest in STEPS if name == step][-1]


@pytest.mark.parametrize("name", COPIED)
def test_what_is_copied_exists_and_is_not_ignored(name: str) -> None:
    assert (ROOT / name).exists()
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert any(fnmatch(name, pattern) or name.startswith(f"{pattern}/") for pattern in kept)


def test_it_runs_as_a_user_of_its_own_without_rights() -> None:
    user = told("USER")
    assert user not in ("root", "0")
    assert any(rest.startswith("useradd") and user in shlex.split(rest) for step, rest in STEPS if step == "RUN")
    names = [step for step, _ in STEPS]
    assert names.index("USER") < names.index("ENTRYPOINT")


def test_the_health_check_asks_a_route_on_the_port_that_is_exposed() -> None:
    address = urlsplit(re.findall(r"http://[^']+", told("HEALTHCHECK"))[0])
    assert address.path in PATHS
    assert str(address.port) == told("EXPOSE") == str(PORT)


def test_the_health_check_is_a_command_that_fails_where_nothing_answers() -> None:
    command = json.loads(told("HEALTHCHECK").partition("CMD ")[2])
    code = command[-1].replace(str(PORT), "1")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 1


def test_its_command_is_one_of_ours_with_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    python, flag, package, command, *options = json.loads(told("ENTRYPOINT"))
    assert (python, flag, package) == ("python", "-m", "dynrefer")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    offered = capsys.readouterr().out
    assert [word for word in options if word.startswith("--") and word not in offered] == []


@pytest.mark.slow
def test_what_is_copied_is_enough_to_answer_a_question_without_gradio(tmp_path: Path) -> None:
    for name in COPIED:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    code = (
        "import gc; gc.disable()  # a quarter faster\n"
        "import io, base64, json, sys; from starlette.testclient import TestClient; from dynrefer import Predictor\n"
        "import dynrefer.server.mcp_tools; from dynrefer.server.app import build_service\n"
        "image = base64.b64encode(open('assets/examples/puppy.jpg', 'rb').read()).decode()\n"
        "with TestClient(build_service(Predictor.from_pretrained())) as client:\n"
        "    print(client.post('/v1/regions', json={'image': image, 'boxes': [[258, 148, 594, 658]]}).text)\n"
        "assert 'gradio' not in sys.modules"
    )
    environment = {"PATH": "", "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout
    answer = json.loads(printed.splitlines()[-1])
    assert answer["model"] == "dynrefer-mini"
    assert answer["regions"][0]["caption"]["text"]
