import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynrefer.__main__ import main
from dynrefer.errors import InputError
from dynrefer.hub import publish, push_to_hub
from tests.hub import Hub, local_hub

SENT = {
    "app.py": "launch()",
    "README.md": "---\nsdk: gradio\n---\n",
    "LICENSE": "Apache-2.0",
    "requirements.txt": "gradio",
    "dynrefer/__init__.py": "",
    "dynrefer/ui/page.css": "body {}",
    "assets/examples/examples.json": "[]",
    "checkpoints/dynrefer-mini/config.json": "{}",
    "checkpoints/dynrefer-mini/model.safetensors": "weights",
}
KEPT = {
    ".venv/bin/python": "",
    "tests/test_app.py": "",
    "checkpoints/private/model.safetensors": "",
    "dynrefer/.token": "secret",
    "dynrefer/__pycache__/app.pyc": "",
    "dynrefer/ui/page.pyi": "",
    "notes.txt": "",
    "dynrefer/ui/notes.txt": "not added",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, content in {**SENT, **KEPT}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    for command in (["init", "--quiet"], ["add", "--force", *SENT, "tests"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


@pytest.fixture
def hub() -> Iterator[Hub]:
    with local_hub() as server:
        yield server


def test_dry_run_lists_what_goes_and_what_stays(checkout: Path) -> None:
    publication = publish("someone/looks", dry_run=True, root=checkout)
    assert set(publication.files) == set(SENT)
    assert publication.left_out == (
        ".git/",
        ".venv/",
        "checkpoints/private/",
        "dynrefer/.token",
        "dynrefer/ui/notes.txt",
        "dynrefer/ui/page.pyi",
        "notes.txt",
        "tests/",
    )
    assert publication.size == sum(map(len, SENT.values()))


def test_links_are_not_followed_but_named(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "secret.txt").write_text("secret")
    (checkout / "assets" / "file.txt").symlink_to(elsewhere / "secret.txt")
    (checkout / "assets" / "folder").symlink_to(elsewhere)
    subprocess.run(["git", "add", "assets"], cwd=checkout, check=True)
    publication = publish("someone/looks", dry_run=True, root=checkout)
    assert set(publication.files) == set(SENT)
    assert {"assets/file.txt (a link)", "assets/folder (a link)"} <= set(publication.left_out)


def test_without_git_the_manifest_says_what_goes(checkout: Path) -> None:
    (checkout / ".git").rename(checkout / "elsewhere")
    with pytest.raises(InputError, match="no git checkout"):
        publish("someone/looks", dry_run=True, root=checkout)
    (checkout / "MANIFEST").write_text("\n".join([*SENT, "notes.txt", "../outside.txt"]))
    assert set(publish("someone/looks", dry_run=True, root=checkout).files) == set(SENT)


def test_what_a_space_needs_and_git_does_not_track_is_named(checkout: Path) -> None:
    subprocess.run(
        ["git", "rm", "--quiet", "--cached", "app.py", "assets/examples/examples.json"], cwd=checkout, check=True
    )
    with pytest.raises(InputError, match=r"Git does not track app\.py, assets"):
        publish("someone/looks", dry_run=True, root=checkout)


def test_names_with_brackets_go_as_they_are(checkout: Path, hub: Hub) -> None:
    (checkout / "assets" / "a[1].txt").write_text("one")
    (checkout / "assets" / "a1.txt").write_text("not added")
    subprocess.run(["git", "add", "assets/a[[]1].txt"], cwd=checkout, check=True)
    publish("someone/looks", root=checkout, token="hf_test", endpoint=hub.url)
    sent = hub.repositories["spaces/someone/looks"]
    assert sent["assets/a[1].txt"] == b"one"
    assert "assets/a1.txt" not in sent


def test_listing_has_a_line_a_file_with_its_size(checkout: Path) -> None:
    lines = str(publish("someone/looks", dry_run=True, root=checkout)).splitlines()
    listed = {line.split()[1]: int(line.split()[0]) for line in lines[: len(SENT)]}
    assert listed == {name: len(content) for name, content in SENT.items()}
    assert lines[-2].endswith("would go to Space someone/looks")


def test_dry_run_reaches_no_hub(checkout: Path, hub: Hub) -> None:
    publish("someone/looks", dry_run=True, root=checkout, endpoint=hub.url)
    assert hub.created == []


def test_space_holds_exactly_the_listed_files(checkout: Path, hub: Hub) -> None:
    hub.repositories["spaces/someone/looks"] = {".gitattributes": b"lfs", "old.py": b"stale", "app.py": b"old"}
    publish("someone/looks", root=checkout, token="hf_test", endpoint=hub.url)
    expected = {name: content.encode() for name, content in SENT.items()}
    assert hub.repositories["spaces/someone/looks"] == {".gitattributes": b"lfs", **expected}


def test_new_space_runs_gradio_and_keeps_its_privacy(checkout: Path, hub: Hub) -> None:
    publish("someone/looks", root=checkout, private=True, token="hf_test", endpoint=hub.url)
    (made,) = hub.created
    assert (made["type"], made["sdk"]) == ("space", "gradio")
    assert made.get("private") or made.get("visibility") == "private"


def test_checkpoint_goes_to_a_model_repository(checkout: Path, hub: Hub) -> None:
    folder = checkout / "checkpoints" / "dynrefer-mini"
    (folder / "notes.txt").write_text("mine")
    assert push_to_hub(folder, "someone/mini", token="hf_test", endpoint=hub.url).left_out == ("notes.txt",)
    assert hub.repositories == {"models/someone/mini": {"config.json": b"{}", "model.safetensors": b"weights"}}


@pytest.mark.parametrize("space", ["looks", "someone/lo oks", "a/b/c", "", "someone/"])
def test_space_name_has_to_read_user_slash_name(space: str, checkout: Path) -> None:
    with pytest.raises(InputError, match=r"USER/NAME|no repository name"):
        publish(space, dry_run=True, root=checkout)


def test_incomplete_checkout_is_named(checkout: Path) -> None:
    (checkout / "app.py").unlink()
    with pytest.raises(InputError, match=r"needs app\.py:"):
        publish("someone/looks", dry_run=True, root=checkout)


def test_folder_without_weights_is_no_checkpoint(checkout: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json and no model\.safetensors"):
        push_to_hub(checkout / "tests", "someone/mini", dry_run=True)


def test_refusal_tells_to_log_in(checkout: Path, hub: Hub) -> None:
    hub.refuses = True
    with pytest.raises(InputError, match=r"refused someone/looks: .*hf auth login"):
        publish("someone/looks", root=checkout, token="hf_test", endpoint=hub.url)


def test_unreachable_hub_is_said_in_a_sentence(checkout: Path) -> None:
    with local_hub() as gone:
        address = gone.url
    with pytest.raises(InputError, match="cannot be reached"):
        publish("someone/looks", root=checkout, token="hf_test", endpoint=address)


def test_command_line_lists_a_checkpoint_without_sending_it(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = checkout / "checkpoints" / "dynrefer-mini"
    assert main(["publish", "--checkpoint", "someone/mini", "--model", str(folder), "--dry-run"]) == 0
    assert "would go to model someone/mini" in capsys.readouterr().out
