"""Where files lie that visitors send or name by a URL."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import dynrefer.ui
from dynrefer import InputError, Predictor
from dynrefer.server import fetching
from dynrefer.ui.page import serve


def test_a_download_lies_below_its_folder_under_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(host: str) -> httpx.AsyncBaseTransport:
        return httpx.MockTransport(lambda request: httpx.Response(200, content=b"x"))

    monkeypatch.setattr(fetching, "public_transport", connect)
    path = Path(asyncio.run(fetching.download("https://photographs.example/..%2F..%2Fa%20dog.jpg", str(tmp_path))))
    assert tmp_path in path.parents
    assert path.name == "a dog.jpg"
    assert path.read_bytes() == b"x"


def folder(temporary: Path, **environment: str) -> Path:
    """Where a program keeps uploads that imports nothing but this module."""
    program = (
        "import importlib.util, os, sys;"
        f"spec = importlib.util.spec_from_file_location('ui', {dynrefer.ui.__file__!r});"
        "ui = importlib.util.module_from_spec(spec); spec.loader.exec_module(ui);"
        "print(os.environ['GRADIO_TEMP_DIR'])"
    )
    inherited = {name: value for name, value in os.environ.items() if name != "GRADIO_TEMP_DIR"}
    inherited |= {"PYTHONPATH": str(Path(dynrefer.ui.__file__).parents[2])}
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**inherited, "TMPDIR": str(temporary), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(run.stdout.strip())


def test_uploads_lie_in_a_folder_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "gradio").write_text("somebody else's")
    own = folder(tmp_path)
    assert own.parent == tmp_path.resolve()
    assert own.stat().st_mode & 0o077 == 0


def test_a_folder_that_is_not_ours_is_not_used(tmp_path: Path) -> None:
    taken = folder(tmp_path)
    taken.rmdir()
    taken.write_text("somebody else's")
    other = folder(tmp_path)
    assert other != taken
    assert other.is_dir()


def test_a_named_folder_in_which_nothing_can_be_kept_is_said_before_the_page_opens(
    tiny_predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "file" / "uploads"))
    with pytest.raises(InputError, match=r"GRADIO_TEMP_DIR names .*uploads, where no upload can be kept"):
        serve(tiny_predictor)


def test_a_folder_that_was_named_is_used(tmp_path: Path) -> None:
    assert folder(tmp_path, GRADIO_TEMP_DIR="/somewhere/else") == Path("/somewhere/else")
