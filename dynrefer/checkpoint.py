"""Checkpoint folder or Hub id <-> model.

A folder holds config.json, model.safetensors (weights and the vocabulary's embeddings; large ones in shards with an
index), tokenizer.json (language model), text_tokenizer.json (text encoder), vocabulary.json, and its model card
README.md. Nothing in it is a pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from dynrefer.errors import InputError, shown
from dynrefer.files.atomic import restored, written_whole
from dynrefer.model.config import ModelConfig
from dynrefer.model.dynrefer import DynRefer
from dynrefer.vocabulary import Vocabulary
from dynrefer.weights import (
    StoredTensor,
    parameters_on_meta,
    place,
    shard_names,
    stored_tensors,
    unshared,
    write_tensors,
)

CONFIG, VOCABULARY, CARD = "config.json", "vocabulary.json", "README.md"
TOKENIZER, TEXT_TOKENIZER = "tokenizer.json", "text_tokenizer.json"
VOCABULARY_PREFIX = "vocabulary."


def shipped(name: str) -> Path:
    """A folder that comes with DynRefer: in an installed wheel below the package, in a checkout beside it.

    Args:
        name: "checkpoints/dynrefer-mini" or "assets/examples".
    """
    package = Path(__file__).resolve().parent
    inside = package / "_data" / name
    return inside if inside.is_dir() else package.parent / name


DEFAULT_CHECKPOINT = shipped("checkpoints/dynrefer-mini")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model with its words and where it came from."""

    model: DynRefer
    vocabulary: Vocabulary
    folder: Path

    @property
    def name(self) -> str:
        """The configuration's name, for example "dynrefer-mini"."""
        return self.model.config.name

    @cached_property
    def fingerprint(self) -> str:
        """Names this very model; see `fingerprint_of`."""
        return fingerprint_of(self.folder)


def fingerprint_of(folder: Path) -> str:
    """First 16 hex digits of the SHA-256 over a checkpoint's configuration, vocabulary and weights.

    Raises InputError when one of the files is missing.
    """
    digest = hashlib.sha256()
    for name in (CONFIG, VOCABULARY, *shard_names(folder)):
        try:
            with (folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise InputError(f"The checkpoint {folder} has no readable {name}; download it again.") from error
    return digest.hexdigest()[:16]


def find_checkpoint(source: str | Path | None = None) -> Path:
    """The checkpoint folder meant by `source`: a folder, a Hub id, or None for DYNREFER_MODEL or the embedded model.

    Raises InputError when there is no such folder and the Hub has none or cannot be reached.
    """
    if source is None or source == "":
        source = os.environ.get("DYNREFER_MODEL") or DEFAULT_CHECKPOINT
    return find_folder(source)


def find_folder(source: str | Path, called: str = "checkpoint") -> Path:
    """The folder meant by `source`, a folder or a Hub id; `called` is what errors call it.

    Raises InputError when there is no such folder and the Hub has none or cannot be reached.
    """
    if not isinstance(source, (str, Path)):
        raise InputError(f'a model is a checkpoint folder or a Hub id such as user/name, not "{shown(source)}"')
    try:
        folder = restored(Path(source).expanduser())
    except (RuntimeError, ValueError):  # a user without a home, a name that no file can have
        folder = Path(source)
    if folder.is_dir():
        return folder
    if isinstance(source, Path) or source.count("/") != 1 or source.startswith((".", "~", "/")):
        raise InputError(f"There is no {called} folder {str(source)!r}; give a folder or a Hub id such as user/name.")
    return _from_hub(source)


def _from_hub(source: str) -> Path:
    """The folder that a Hub id is downloaded to, once. Imports the Hub's client only here: most start without it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, allow_patterns=["*.json", "*.safetensors", "*.md"]))
    except LocalEntryNotFoundError as error:
        raise InputError(
            f"The model {source!r} is not on this machine and the Hub is out of reach; connect once, or give a folder."
        ) from error
    except (HfHubHTTPError, HFValidationError) as error:
        raise InputError(
            f"The Hub has no model {source!r} that you may read; check its name and your login."
        ) from error
    except OSError as error:
        raise InputError(
            f"The model {source!r} could not be stored: {error.strerror or error}; free some disk."
        ) from error


def load_checkpoint(
    source: str | Path | None = None, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Checkpoint:
    """Load a checkpoint onto a device, in evaluation mode; weights go there one tensor at a time.

    Raises InputError, naming the file or tensor, when the folder is incomplete or its files do not fit each other.
    """
    folder = find_checkpoint(source)
    config = read_config(folder)
    vocabulary = Vocabulary.from_json(_read(folder, VOCABULARY))
    tokenizer, text_tokenizer = read_tokenizer(folder, TOKENIZER), read_tokenizer(folder, TEXT_TOKENIZER)
    stored = stored_tensors(folder)
    words = {k: v for k, v in stored.items() if k.startswith(VOCABULARY_PREFIX)}
    embeddings = {k.removeprefix(VOCABULARY_PREFIX): v.read().float() for k, v in words.items()}
    vocabulary = vocabulary.with_embeddings(embeddings)
    model = _empty(config)
    load_weights(model, {k: v for k, v in stored.items() if k not in words}, device, dtype)
    assert model.text_encoder is not None
    model.language.tokenizer, model.text_encoder.tokenizer = tokenizer, text_tokenizer
    return Checkpoint(model.eval(), vocabulary, folder)


def read_config(folder: Path) -> ModelConfig:
    """The sizes of a checkpoint folder's network. Raises InputError when config.json is missing or wrong."""
    return ModelConfig.from_json(_read(folder, CONFIG))


def load_weights(
    model: DynRefer,
    tensors: Mapping[str, Tensor | StoredTensor],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> None:
    """Put tensors into the model, on a device and in a number format.

    Raises InputError that names the first missing, unexpected or mis-shaped tensor; then nothing was loaded.
    """
    own = model.state_dict()
    for name, value in tensors.items():
        if name not in own:
            raise InputError(f"The weights hold a tensor {name} that config.json does not ask for.")
        if tuple(own[name].shape) != tuple(value.shape):
            shape, asked = list(value.shape), list(own[name].shape)
            raise InputError(f"The tensor {name} of the weights has shape {shape}, config.json asks for {asked}.")
    for name in unshared(model):
        if name not in tensors:
            raise InputError(f"The weights lack the tensor {name} that config.json asks for.")
    place(model, tensors, device, dtype)


def save_checkpoint(
    folder: str | Path, model: DynRefer, vocabulary: Vocabulary, dtype: torch.dtype = torch.float16
) -> Path:
    """Write a checkpoint folder, whole or not at all. A model card that is already there is kept.

    Raises InputError when it cannot be written, for example because the disk is full.
    """
    assert model.language.tokenizer is not None
    assert model.text_encoder is not None and model.text_encoder.tokenizer is not None
    state = unshared(model)
    dtypes = {name: dtype if value.is_floating_point() else value.dtype for name, value in state.items()}
    tokenizers = {TOKENIZER: model.language.tokenizer, TEXT_TOKENIZER: model.text_encoder.tokenizer}
    folder = Path(folder)
    with written_whole(folder, folder=True) as temporary:
        write_checkpoint(temporary, model.config, vocabulary, state, dtypes, tokenizers)
        if (folder / CARD).exists():
            shutil.copy(folder / CARD, temporary)
    return folder


def write_checkpoint(
    folder: Path,
    config: ModelConfig,
    vocabulary: Vocabulary,
    state: Mapping[str, Tensor | StoredTensor],
    dtypes: Mapping[str, torch.dtype],
    tokenizers: Mapping[str, Tokenizer],
) -> None:
    """Write everything but the model card into an existing folder; the vocabulary's embeddings in half precision."""
    words = {VOCABULARY_PREFIX + name: value for name, value in vocabulary.embeddings.items()}
    write_tensors(folder, {**state, **words}, {**dtypes, **dict.fromkeys(words, torch.float16)})
    (folder / CONFIG).write_text(json.dumps(config.to_dict(), indent=1) + "\n", encoding="utf-8")
    (folder / VOCABULARY).write_text(vocabulary.to_json() + "\n", encoding="utf-8")
    for name, tokenizer in tokenizers.items():
        plain = json.loads(tokenizer.to_str()) | {"truncation": None, "padding": None}  # which are the model's affair
        (folder / name).write_text(json.dumps(plain, indent=2, ensure_ascii=False), encoding="utf-8")


def _empty(config: ModelConfig) -> DynRefer:
    try:
        with parameters_on_meta():
            return DynRefer(config)
    except (ValueError, TypeError, KeyError, RuntimeError, AssertionError) as error:
        raise InputError(f"config.json asks for a network that cannot be built: {error}.") from error


def _read(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The checkpoint {folder.name!r} has no readable {name}; it is not complete.") from error


def read_tokenizer(folder: Path, name: str) -> Tokenizer:
    """A tokenizer file of a folder. Raises InputError that names the file when it is missing or something else."""
    try:
        return Tokenizer.from_str(_read(folder, name))
    except InputError:
        raise
    except Exception as error:  # the library raises plain Exception
        raise InputError(f"{name} of the checkpoint {folder.name!r} is not a tokenizer.") from error
