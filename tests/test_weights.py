"""Weights that are read one tensor at a time."""

from __future__ import annotations

import json
import weakref
from functools import partial
from pathlib import Path

import pytest
import torch

from dynrefer import InputError, weights
from dynrefer.checkpoint import load_checkpoint, load_weights, save_checkpoint
from dynrefer.model import DynRefer
from dynrefer.weights import StoredTensor, parameters_on_meta, stored_tensors, unshared, write_tensors
from tests.tiny import TINY


def on_meta() -> DynRefer:
    with parameters_on_meta():
        return DynRefer(TINY)


def test_a_network_built_without_memory_keeps_its_buffers_and_its_shared_weights() -> None:
    model = on_meta()
    assert all(parameter.is_meta for parameter in model.parameters())
    assert not any(buffer.is_meta for buffer in model.buffers())
    assert model.language.t5 is not None
    assert model.language.t5.lm_head.weight is model.language.t5.shared.weight
    assert not torch.nn.Linear(2, 2).weight.is_meta  # only inside the block


def test_loading_gives_every_number_back_in_the_type_asked_for() -> None:
    torch.manual_seed(7)
    model = DynRefer(TINY)
    copy = on_meta()
    load_weights(copy, unshared(model), dtype=torch.bfloat16)
    copied = copy.state_dict()
    for name, value in model.state_dict().items():
        loaded = copied[name]
        assert torch.equal(loaded, value.to(loaded.dtype)), name
        assert loaded.dtype == (torch.bfloat16 if value.is_floating_point() else value.dtype)
    trained = {name for name, _ in model.trainable_parameters()}
    assert {name for name, _ in copy.trainable_parameters()} == trained
    assert copy.language.t5 is not None
    assert copy.language.t5.lm_head.weight is copy.language.t5.shared.weight


def test_beside_the_model_one_tensor_is_held_at_a_time() -> None:
    alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
    most = 0

    def read(like: torch.Tensor) -> torch.Tensor:
        nonlocal most
        most = max(most, len(alive) + 1)
        tensor = torch.zeros_like(like)
        if like.is_floating_point():  # counters need no cast and become the buffer itself
            alive.add(tensor)
        return tensor

    likes = unshared(DynRefer(TINY))
    tensors = {name: StoredTensor(tuple(like.shape), partial(read, like)) for name, like in likes.items()}
    load_weights(on_meta(), tensors, dtype=torch.float16)
    assert most <= 2  # the one being replaced, and the next


def test_a_checkpoint_in_shards_loads_like_one_in_a_single_file(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_checkpoint(tiny_checkpoint)
    monkeypatch.setattr(weights, "SHARD_BYTES", 2_000_000)
    folder = save_checkpoint(tmp_path / "sharded", whole.model, whole.vocabulary, torch.float32)
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    again = load_checkpoint(folder)
    loaded = again.model.state_dict()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(loaded[name], value), name
    assert again.vocabulary == whole.vocabulary


def test_a_missing_damaged_or_unlisted_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no model"):
        stored_tensors(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(InputError, match=r"model\.safetensors of the checkpoint .* is damaged"):
        stored_tensors(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}))
    with pytest.raises(InputError, match="model-00001-of-00002"):
        stored_tensors(tmp_path)
    index.write_text("[]")
    with pytest.raises(InputError, match=r"index\.json of the checkpoint .* is damaged"):
        stored_tensors(tmp_path)


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_weights_that_do_not_fit_the_configuration_are_named_before_anything_is_loaded(change: str) -> None:
    tensors = dict(unshared(DynRefer(TINY)))
    if change == "missing":
        del tensors["resampler.queries"]
    elif change == "unexpected":
        tensors["resampler.wheels"] = torch.zeros(1)
    else:
        tensors["resampler.queries"] = torch.zeros(1, 2, 16)
    model = on_meta()
    with pytest.raises(InputError, match=r"resampler\.(queries|wheels)"):
        load_weights(model, tensors)
    assert all(parameter.is_meta for parameter in model.parameters())


def test_a_configuration_that_cannot_be_built_gets_a_sentence(tiny_checkpoint: Path, tmp_path: Path) -> None:
    for path in tiny_checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["encoder"]["name"] = "no_such_backbone"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="no_such_backbone"):
        load_checkpoint(tmp_path)


def test_tensors_are_written_in_the_types_asked_for(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3), "b": torch.arange(4)}
    write_tensors(tmp_path, tensors, {"a": torch.float16, "b": torch.int64})
    stored = stored_tensors(tmp_path)
    assert torch.equal(stored["a"].read(), tensors["a"].half())
    assert torch.equal(stored["b"].read(), tensors["b"]) and stored["b"].shape == (4,)
