"""What conversion refuses, in a sentence, with nothing written."""

from __future__ import annotations

import json
import os
import pickle
import resource
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from torch import Tensor

from dynrefer import InputError
from dynrefer.__main__ import main
from dynrefer.checkpoint import load_checkpoint
from dynrefer.official.convert import read_released, read_tags
from tests.official import tiny_official as tiny
from tests.official.tiny_official import convert_tiny


def drop(state: dict[str, Tensor]) -> None:
    del state["t5_proj.bias"]


def add(state: dict[str, Tensor]) -> None:
    state["llm_proj.weight"] = torch.zeros(1)


def reshape(state: dict[str, Tensor]) -> None:
    state["cvem_mlp.0.weight"] = state["cvem_mlp.0.weight"][:, :-1]


def adapt(state: dict[str, Tensor]) -> None:
    state["t5_model.base_model.model.lm_head.lora_A.default.weight"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(drop, "t5_proj.bias"), (add, "llm_proj.weight"), (reshape, "cvem_mlp.0.weight"), (adapt, "LoRA")],
)
def test_a_tensor_that_does_not_fit_is_named_and_nothing_is_written(
    spoil: object, said: str, sources: Path, tmp_path: Path
) -> None:
    state = tiny.released_state()
    assert callable(spoil)
    spoil(state)
    torch.save({"model": state}, tmp_path / "released.pth")
    with pytest.raises(InputError, match=said):
        convert_tiny(sources, tmp_path / "out", released=tmp_path / "released.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["released.pth"]


class Surprise:
    """An object that would make a folder when unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_pickled_object_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"model": {"query_tokens": Surprise(tmp_path / "surprise")}}, tmp_path / "released.pth")
    with pytest.raises(InputError, match="could run code"):
        read_released(tmp_path / "released.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Surprise(tmp_path / "surprise"), protocol=2))
    with pytest.raises(InputError, match="could run code"):
        read_released(tmp_path / "plain.pth")
    assert not (tmp_path / "surprise").exists()


def test_a_damaged_renamed_or_missing_file_gets_one_sentence(sources: Path, tmp_path: Path) -> None:
    whole = (sources / "released.pth").read_bytes()
    for name, content in {"half.pth": whole[: len(whole) // 2], "text.pth": b"not a model", "empty.pth": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_released(tmp_path / name)
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(InputError, match="no dictionary of tensors"):
        read_released(tmp_path / "list.pth")
    with pytest.raises(InputError, match="no file"):
        read_released(tmp_path / "absent.pth")


def test_a_base_model_of_another_size_is_named(sources: Path, tmp_path: Path) -> None:
    other = tmp_path / "base"
    other.mkdir()
    for path in (sources / "base").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    index = json.loads((other / "model.safetensors.index.json").read_text())
    (other / index["weight_map"]["language_model.lm_head.weight"]).unlink()
    with pytest.raises(InputError, match="has no model-"):
        convert_tiny(sources, tmp_path / "out", base=other)
    with pytest.raises(InputError, match="lacks the tensor vision_model"):
        convert_tiny(sources, tmp_path / "out", base=converted_without_shards(tmp_path))
    assert not (tmp_path / "out").exists()


def converted_without_shards(tmp_path: Path) -> Path:
    folder = tmp_path / "other"
    tiny.write_text_tower(folder)
    (folder / "open_clip_model.safetensors").rename(folder / "model.safetensors")
    return folder


def test_a_full_disk_leaves_nothing_behind(sources: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # writing more fails as on a full disk
    try:
        with pytest.raises(InputError, match="could not be written"):
            convert_tiny(sources, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_overwritten(sources: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        convert_tiny(sources, tmp_path)


def test_without_a_network_the_hub_ids_are_asked_for_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="--tags"):
        read_tags(None)
    with pytest.raises(InputError, match="nobody/nothing"):
        load_checkpoint("nobody/nothing")


def test_the_command_says_what_is_wrong_and_exits_with_2(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--base", str(sources / "base"), "--text-encoder", str(sources / "text")]
    code = main(["convert", str(sources / "tags.txt"), *arguments, str(tmp_path / "out")])
    message = capsys.readouterr().err
    assert code == 2 and "tags.txt was not read" in message and len(message.splitlines()) == 1
    assert not (tmp_path / "out").exists()
