"""What is written whole is there whole, or what was there before is."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dynrefer.errors import InputError
from dynrefer.files.atomic import STALE_SECONDS, claim, restored, written_whole

ROOT = Path(__file__).resolve().parents[2]
KILLED_AT_RENAME = """
import os, sys
from pathlib import Path
from dynrefer.files.atomic import written_whole

left, rename = int(sys.argv[2]), Path.rename

def renaming(self, target):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    return rename(self, target)

Path.rename = renaming
with written_whole(sys.argv[1], folder=True) as folder:
    (folder / "text").write_text("new")
"""


def write(path: Path, text: str, folder: bool) -> None:
    with written_whole(path, folder=folder) as temporary:
        (temporary / "text" if folder else temporary).write_text(text)


def read(path: Path) -> str:
    return (path / "text" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("folder", [False, True])
def test_the_new_takes_the_place_of_the_old_and_nothing_else_stays(folder: bool, tmp_path: Path) -> None:
    path = tmp_path / "made" / "here"
    for text in ("old", "new"):
        write(path, text, folder)
        assert read(path) == text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("folder", [False, True])
def test_a_failure_keeps_the_old_and_leaves_nothing(folder: bool, tmp_path: Path) -> None:
    path = tmp_path / "here"
    write(path, "old", folder)

    def interrupted() -> None:
        with written_whole(path, folder=folder) as temporary:
            (temporary / "text" if folder else temporary).write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert read(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("folder", [False, True])
def test_a_full_disk_is_said_in_a_sentence(folder: bool, tmp_path: Path) -> None:
    path = tmp_path / "here"
    with pytest.raises(InputError, match=r"The disk is full: .*here"), written_whole(path, folder=folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_a_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not be written"):
        write(tmp_path / "file" / "here", "new", folder=False)


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_at_any_rename_leaves_the_old_or_the_new_folder(renames: int, tmp_path: Path) -> None:
    path = tmp_path / "here"
    write(path, "old", folder=True)
    command = [sys.executable, "-c", KILLED_AT_RENAME, str(path), str(renames)]
    killed = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert killed.returncode == (9 if renames < 2 else 0)
    assert read(restored(path)) == ("old" if renames < 2 else "new")


def test_what_a_killed_program_left_goes_with_the_next_writing(tmp_path: Path) -> None:
    path, half, old = tmp_path / "here", tmp_path / ".here.new-0123", tmp_path / ".here.old"
    write(path, "old", folder=True)
    for left in (half, old):
        left.mkdir()
        (left / "text").write_text("half")
    long_ago = half.stat().st_mtime - STALE_SECONDS - 60
    os.utime(half, (long_ago, long_ago))
    write(path, "new", folder=True)
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_program_is_writing_stays(tmp_path: Path) -> None:
    with written_whole(tmp_path / "here", folder=True) as temporary:
        write(tmp_path / "here", "faster", folder=True)
        assert temporary.is_dir()
        (temporary / "text").write_text("slower")
    assert read(tmp_path / "here") == "slower"


def test_a_folder_that_is_claimed_on_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system cannot limit what a program writes")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, former[1]))  # as on a full disk: files can be made, and not filled
    try:
        with pytest.raises(InputError, match="cannot be written"):
            claim(tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert list(tmp_path.iterdir()) == []
