"""The authors' released checkpoint, BLIP-2 and the EVA-CLIP text tower -> one checkpoint folder of this project.

Read once, written in shards: memory holds the trained tensors (0.5 GB), the text tower (0.5 GB) and one shard (2 GB).
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from tokenizers import Tokenizer
from torch import Tensor

from dynrefer.checkpoint import TEXT_TOKENIZER, TOKENIZER, find_checkpoint, read_tokenizer, write_checkpoint
from dynrefer.datasets.coco import CLASS_NAMES
from dynrefer.errors import InputError
from dynrefer.files.atomic import written_whole
from dynrefer.model.config import ModelConfig
from dynrefer.model.dynrefer import DynRefer
from dynrefer.model.text_encoder import TextEncoder
from dynrefer.official.names import PRESET, base_name, convert_state_dict, convert_text_tower, pick
from dynrefer.vocabulary import AttributeWord, Vocabulary, ovad_attributes
from dynrefer.weights import WEIGHTS, StoredTensor, parameters_on_meta, place, stored_tensors, unshared

BASE = "Salesforce/blip2-flan-t5-xl"
TEXT_ENCODER = "timm/eva_giant_patch14_clip_224.laion400m_s11b_b41k"
OPEN_CLIP_WEIGHTS = "open_clip_model.safetensors"
TAG_SPACE, TAG_FILE = "xinyu1205/recognize-anything", "data/ram_tag_list.txt"
TAG_REVISION = "4aaa7cc8ce6cd85fcf70b0d6590c47adf6711a27"


def convert(
    released: str | Path,
    out: str | Path,
    *,
    base: str | Path = BASE,
    text_encoder: str | Path = TEXT_ENCODER,
    tags: str | Path | None = None,
    tag_threshold: float | None = None,
    config: ModelConfig | None = None,
) -> Path:
    """Write a checkpoint folder that `Predictor.from_pretrained` loads; nothing is written unless everything fits.

    Args:
        released: the authors' `.pth`; opened without running code, whatever it holds.
        out: a folder that does not exist yet.
        base: BLIP-2 with FLAN-T5 as `transformers` holds it: folder or Hub id. Image encoder and language model.
        text_encoder: EVA-CLIP as open_clip holds it, or CLIP as `transformers` does: folder or Hub id.
        tags: text file, one tag a line, in Recognize Anything's order; None fetches theirs from the Hub.
        tag_threshold: the score from which a tag is shown; None keeps the preset's.
        config: the size to fit; the preset "dynrefer-flant5xl" when None.

    Raises InputError: names the file or tensor that is missing, damaged, unexpected or mis-shaped.
    """
    out, config = Path(out), config or ModelConfig.preset(PRESET)
    if out.exists():
        raise InputError(f"{out} exists already; name a folder that does not.")
    if tag_threshold is not None:
        config = replace(config, tag_threshold=tag_threshold)
    trained = convert_state_dict(read_released(Path(released)), config)
    vocabulary = Vocabulary(read_tags(tags), official_attributes(), CLASS_NAMES, config.class_template)

    with parameters_on_meta():
        expected = unshared(DynRefer(config))
    base_folder, text_folder = find_checkpoint(base), find_checkpoint(text_encoder)
    asked = {name: like for name, like in expected.items() if name.startswith(("encoder.", "language.t5."))}
    frozen = pick(_base_tensors(base_folder), asked, base_name, f"The base model {base}")
    tower, tower_state = _text_encoder(text_folder, config)
    tokenizer = _plain(read_tokenizer(base_folder, TOKENIZER))
    vocabulary = vocabulary.embedded(tower)

    state: dict[str, Tensor | StoredTensor] = {**frozen, **tower_state, **trained}
    dtypes = dict.fromkeys(frozen, torch.bfloat16) | dict.fromkeys(tower_state, torch.float16)
    dtypes |= dict.fromkeys(trained, torch.float32)
    assert tower.tokenizer is not None
    tokenizers = {TOKENIZER: tokenizer, TEXT_TOKENIZER: tower.tokenizer}
    with written_whole(out, folder=True) as folder:
        write_checkpoint(folder, config, vocabulary, {name: state[name] for name in expected}, dtypes, tokenizers)
    return out


def read_released(path: Path) -> dict[str, Tensor]:
    """The tensors of the authors' `.pth` (under "model"), read without running any code that it may hold.

    Raises InputError when the file is missing, damaged, or holds anything but tensors and plain values.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path.name} was not read: it is damaged, or holds more than tensors, which could run code when opened."
        ) from error
    state = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f'{path.name} holds no dictionary of tensors under "model"; it is not a released checkpoint.')
    return dict(state)


def read_tags(path: str | Path | None) -> tuple[str, ...]:
    """The tag list, one a line, from a file or (None) from Recognize Anything's page on the Hub."""
    if path is None:
        try:
            path = hf_hub_download(TAG_SPACE, TAG_FILE, repo_type="space", revision=TAG_REVISION)
        except (LocalEntryNotFoundError, HfHubHTTPError) as error:
            raise InputError(
                "The tag list cannot be fetched from the Hub; download ram_tag_list.txt from the Recognize Anything "
                "project and name it with --tags."
            ) from error
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The tag list {path} cannot be read as text.") from error
    tags = tuple(line.strip() for line in lines if line.strip())
    if not tags:
        raise InputError(f"The tag list {path} is empty.")
    return tags


def official_attributes() -> tuple[AttributeWord, ...]:
    """OVAD's 117 attributes with the templates that the released checkpoint is asked with."""
    lines = (resources.files("dynrefer") / "ovad_attributes.txt").read_text(encoding="utf-8").splitlines()
    entries = [dict(zip(("is_has_att", "name"), line.split(" ", 1), strict=True)) for line in lines]
    return ovad_attributes(entries, object_forms=True)


def _base_tensors(folder: Path) -> dict[str, StoredTensor]:
    """BLIP-2's tensors; T5's word embedding, which a file may hold under any name that shares it, under its own."""
    tensors = stored_tensors(folder)
    for stack in ("encoder", "decoder"):
        alias = f"language_model.{stack}.embed_tokens.weight"
        if alias in tensors:
            tensors.setdefault("language_model.shared.weight", tensors[alias])
    return tensors


def _text_encoder(folder: Path, config: ModelConfig) -> tuple[TextEncoder, dict[str, Tensor]]:
    """The text encoder with weights and tokenizer, in float32, and its tensors as the checkpoint names them."""
    weights = OPEN_CLIP_WEIGHTS if (folder / OPEN_CLIP_WEIGHTS).is_file() else WEIGHTS
    stored = stored_tensors(folder, weights)
    tensors = convert_text_tower({k: v.read() for k, v in stored.items() if not k.startswith(("visual.", "vision_"))})
    with parameters_on_meta():
        tower = TextEncoder(config.text_encoder)
    prefix = "text_model." if config.text_encoder.kind == "clip-pooled" else ""  # the bare model drops it
    state = pick(
        tensors, tower.state_dict(), lambda name: prefix + name.removeprefix("text."), f"The text encoder {folder.name}"
    )
    place(tower, state, "cpu", torch.float32)
    tower.tokenizer = _plain(read_tokenizer(folder, TOKENIZER))
    return tower.eval(), {f"text_encoder.{name}": value for name, value in state.items()}


def _plain(tokenizer: Tokenizer) -> Tokenizer:
    """Without padding and truncation of its own; the model does both."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
