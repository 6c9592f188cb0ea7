"""Finding, reading and replacing checkpoint folders."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch

from dynrefer import InputError, Predictor
from dynrefer.checkpoint import find_checkpoint, fingerprint_of, load_checkpoint, save_checkpoint, unshared
from tests.hub import local_hub


def test_what_is_saved_loads_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    first = load_checkpoint(tiny_checkpoint)
    folder = save_checkpoint(tmp_path / "copy", first.model, first.vocabulary, torch.float32)
    again = load_checkpoint(folder)
    assert again.model.config == first.model.config and again.vocabulary == first.vocabulary
    loaded = unshared(again.model)
    assert all(torch.equal(value, loaded[name]) for name, value in unshared(first.model).items())
    assert not again.model.training


def test_the_fingerprint_changes_with_the_weights_alone(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint)
    copy = save_checkpoint(tmp_path / "copy", checkpoint.model, checkpoint.vocabulary, torch.float32)
    assert fingerprint_of(copy) == fingerprint_of(tiny_checkpoint)
    with torch.no_grad():
        checkpoint.model.language.memory += 1
    save_checkpoint(copy, checkpoint.model, checkpoint.vocabulary, torch.float32)
    assert fingerprint_of(copy) != fingerprint_of(tiny_checkpoint)


def test_a_full_disk_keeps_the_former_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint)
    folder = save_checkpoint(tmp_path / "model", checkpoint.model, checkpoint.vocabulary, torch.float32)
    (folder / "README.md").write_text("card")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # writing more fails as on a full disk
    try:
        with pytest.raises(InputError, match="could not be written"):
            save_checkpoint(folder, checkpoint.model, checkpoint.vocabulary)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_replacing_a_checkpoint_keeps_its_model_card(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint)
    folder = save_checkpoint(tmp_path / "model", checkpoint.model, checkpoint.vocabulary)
    (folder / "README.md").write_text("card")
    save_checkpoint(folder, checkpoint.model, checkpoint.vocabulary)
    assert (folder / "README.md").read_text() == "card"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "tokenizer.json", "text_tokenizer.json"])
def test_a_missing_file_is_named(name: str, tiny_checkpoint: Path, tmp_path: Path) -> None:
    for path in tiny_checkpoint.iterdir():
        if path.name != name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=f"no readable {name}"):
        load_checkpoint(tmp_path)


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="no-such-folder"):
        find_checkpoint("./no-such-folder")


def test_a_model_that_the_hub_does_not_have_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with local_hub() as hub:
        hub.refuses = True
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(InputError, match="The Hub has no model 'nobody/nothing'"):
            find_checkpoint("nobody/nothing")


def test_offline_a_model_that_was_never_fetched_gets_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="not on this machine"):
        find_checkpoint("nobody/nothing")


@pytest.mark.parametrize("source", [5, 0, True, ["a"], b"model", Path("a\0b"), "~nobody-of-that-name/model"])
def test_what_is_no_model_gets_a_sentence(source: object) -> None:
    with pytest.raises(InputError, match="checkpoint folder"):
        Predictor.from_pretrained(source)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"dtype": ["float32"]}, {"dtype": 5}, {"device": 5}, {"device": ["cpu"]}])
def test_what_is_no_device_or_number_format_gets_a_sentence(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"is not available here|no number format"):
        Predictor.from_pretrained(**options)
