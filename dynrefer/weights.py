"""Weights too big to hold twice: networks without memory, tensors read one at a time, files written in shards."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from dynrefer.errors import InputError

WEIGHTS = "model.safetensors"
POINTING = "pointing.safetensors"  # the pointing head, apart, because it is trained apart
POINTING_PREFIX = "pointing."
INDEX = "model.safetensors.index.json"
SHARD_BYTES = 2 * 1024**3


class _NoStart(TorchFunctionMode):
    """Parameters without memory get no random numbers: torch would import its compiler for it, in seconds."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.__name__ in ("normal_", "trunc_normal_", "uniform_"):
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Networks built inside have parameters without memory (the meta device); their buffers are real."""

    def move(_module: nn.Module, _name: str, parameter: nn.Parameter) -> Any:
        return None if parameter.is_meta else nn.Parameter(parameter.to("meta"), parameter.requires_grad)

    handle = register_module_parameter_registration_hook(move)
    try:
        with _NoStart():
            yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that stays in its file until `read` brings it to the CPU, as stored."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


class _Files:
    """The safetensors files of a folder, one open at a time, so that only one is mapped into memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._name: str | None = None
        self._file: Any = None

    def open(self, name: str) -> Any:
        if name != self._name:
            self._file = self._name = None  # the former goes before the next comes
            self._file, self._name = safe_open(self.folder / name, framework="pt"), name
        return self._file

    def read(self, name: str, key: str) -> Tensor:
        return self.open(name).get_tensor(key)

    def list(self, name: str) -> Iterator[tuple[str, StoredTensor]]:
        file = self.open(name)
        for key in file.keys():  # noqa: SIM118 - not a mapping
            yield key, StoredTensor(tuple(file.get_slice(key).get_shape()), partial(self.read, name, key))


def stored_tensors(folder: Path, weights: str = WEIGHTS) -> dict[str, StoredTensor]:
    """The tensors of a folder by name: of all shards where it has an index, otherwise of the file `weights`.

    The model's own weights include the pointing head's, where the folder has one.

    Raises InputError that names the file that is missing or damaged.
    """
    tensors: dict[str, StoredTensor] = {}
    files = _Files(folder)
    for name in shard_names(folder, weights):
        try:
            tensors |= files.list(name)
        except FileNotFoundError as error:
            raise InputError(f"The checkpoint {folder.name!r} has no {name}; it is not complete.") from error
        except (SafetensorError, OSError) as error:
            raise InputError(f"{name} of the checkpoint {folder.name!r} is damaged; download it again.") from error
    return tensors


def shard_names(folder: Path, weights: str = WEIGHTS) -> list[str]:
    """The weight files of a checkpoint folder, in order; the pointing head's comes last."""
    index = folder / f"{weights}.index.json"
    head = [POINTING] if weights == WEIGHTS and (folder / POINTING).is_file() else []
    if not index.is_file():
        return [weights, *head]
    try:
        return [*sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())), *head]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{index.name} of the checkpoint {folder.name!r} is damaged; download it again.") from error


def write_tensors(
    folder: Path, tensors: Mapping[str, Tensor | StoredTensor], dtypes: Mapping[str, torch.dtype]
) -> None:
    """Write tensors into model.safetensors, or into shards with an index; never holds more than one shard.

    Those of the pointing head go into a file of their own.

    Args:
        folder: exists.
        tensors: stored ones are read when their shard is written.
        dtypes: of every tensor as it is written.
    """
    from huggingface_hub import split_torch_state_dict_into_shards  # takes long to import, and reading needs it not

    head = {
        name: _read(tensor).to(dtypes[name]) for name, tensor in tensors.items() if name.startswith(POINTING_PREFIX)
    }
    if head:
        _save({name: tensor.contiguous() for name, tensor in head.items()}, folder / POINTING)
    others = {name: tensor for name, tensor in tensors.items() if name not in head}
    plan = {name: torch.empty(tensor.shape, dtype=dtypes[name], device="meta") for name, tensor in others.items()}
    split = split_torch_state_dict_into_shards(plan, max_shard_size=SHARD_BYTES)
    for file, names in split.filename_to_tensors.items():
        shard = {name: _read(tensors[name]).to(dtypes[name]).contiguous() for name in names}
        _save(shard, folder / file)
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    """Raises OSError, as other files do, where the disk does not take it."""
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error


def place(
    module: nn.Module, tensors: Mapping[str, Tensor | StoredTensor], device: torch.device | str, dtype: torch.dtype
) -> None:
    """Put tensors into a network one at a time, straight onto a device; floating-point numbers in `dtype`.

    Shared parameters stay shared. Names that `tensors` lacks keep what they have, cast and moved where it has memory.
    """
    module.to(dtype)
    names_of: dict[int, list[str]] = {}
    state = module.state_dict(keep_vars=True)
    for name, value in state.items():
        names_of.setdefault(id(value), []).append(name)
    for name, stored in tensors.items():
        value = _read(stored).to(device=device, dtype=state[name].dtype)
        if isinstance(state[name], nn.Parameter):
            value = nn.Parameter(value, state[name].requires_grad)
        for alias in names_of[id(state[name])]:
            owner, _, leaf = alias.rpartition(".")
            setattr(module.get_submodule(owner), leaf, value)
    module.to(device)


def unshared(module: nn.Module) -> dict[str, Tensor]:
    """The network's state without tied copies: T5's encoder, decoder and head may share one word embedding."""
    first: dict[int, str] = {}
    state = module.state_dict(keep_vars=True)
    return {name: value.detach() for name, value in state.items() if first.setdefault(id(value), name) == name}


def _read(tensor: Tensor | StoredTensor) -> Tensor:
    return tensor.read() if isinstance(tensor, StoredTensor) else tensor
