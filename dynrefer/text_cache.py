"""Embeddings of class names and other texts, each computed once: kept in memory, long lists on disk as well."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs
import torch
from cachetools import LRUCache
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dynrefer.errors import InputError
from dynrefer.files.atomic import written_whole
from dynrefer.model.text_encoder import TextEncoder

logger = logging.getLogger(__name__)

KEPT_TEXTS = 40_000
LONG_LIST = 512  # texts; from here on computing them takes long enough for a file
VERY_LONG_LIST = 4_000  # from here on so long that whoever waits is told
TOGETHER = 256  # texts between two moments at which others may come in
FILES = 8  # of different text encoders
SAMPLES = 64  # numbers of every weight that tell one text encoder from another

GiveWay = Callable[[], None]
"""Called where others may use the network before going on."""


def go_on() -> None:
    """Give way to nobody."""


class TextCache:
    """Embeddings by one frozen text encoder; the least recently used go first.

    Not for several threads at once.
    """

    def __init__(self, encoder: TextEncoder, folder: Path | None = None) -> None:
        self._encoder = encoder
        self._folder = folder or platformdirs.user_cache_path("dynrefer") / "texts"
        self._rows: LRUCache[str, Tensor] = LRUCache(KEPT_TEXTS)

    def embed(self, texts: Sequence[str], give_way: GiveWay = go_on) -> Tensor:
        """Embeddings [T, E] on the encoder's device; `give_way` is called between the batches of a long list."""
        rows = {text: self._rows.get(text) for text in texts}
        missing = [text for text, row in rows.items() if row is None]
        if len(missing) >= LONG_LIST:
            stored, device = self._stored(), next(self._encoder.parameters()).device
            rows |= {text: stored[text].to(device) for text in missing if text in stored}
            missing = [text for text in missing if rows[text] is None]
        computed = self._computed(missing, give_way)
        if len(computed) >= LONG_LIST:
            self._to_disk(computed)
        rows |= computed
        known = {text: row for text, row in rows.items() if row is not None}
        self._rows.update(known)
        return torch.stack([known[text] for text in texts])

    def _computed(self, texts: Sequence[str], give_way: GiveWay) -> dict[str, Tensor]:
        if len(texts) >= LONG_LIST:
            level = logging.WARNING if len(texts) >= VERY_LONG_LIST else logging.INFO
            logger.log(level, "embedding %d names, which takes a while; they are kept for the next time", len(texts))
        rows: dict[str, Tensor] = {}
        for start in range(0, len(texts), TOGETHER):
            part = texts[start : start + TOGETHER]
            # cloned, so that no row keeps its whole batch in memory
            rows |= {text: row.clone() for text, row in zip(part, self._encoder(part), strict=True)}
            give_way()
        return rows

    def _stored(self) -> dict[str, Tensor]:
        """All rows of this encoder's file; none where it is missing or damaged."""
        path = self._path
        try:
            with safe_open(path, framework="pt") as file:
                texts = json.loads(file.metadata()["texts"])
                return dict(zip(texts, file.get_tensor("embeddings").clone(), strict=True))
        except FileNotFoundError:
            return {}
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            logger.warning("the kept embeddings %s cannot be read and will be made again: %s", path.name, error)
            return {}

    def _to_disk(self, computed: dict[str, Tensor]) -> None:
        rows = {text: row.cpu() for text, row in computed.items()}
        rows = dict(list((rows | self._stored()).items())[:KEPT_TEXTS])
        try:
            with written_whole(self._path) as file:
                save_file({"embeddings": torch.stack(list(rows.values()))}, file, {"texts": json.dumps(list(rows))})
            files = sorted(self._folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
            for old in files[FILES:]:
                old.unlink()
        except (OSError, InputError, SafetensorError) as error:
            logger.info("the embeddings are not kept on disk: %s", error)

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._fingerprint()}.safetensors"

    def _fingerprint(self) -> str:
        """Names this text encoder: its configuration, its words, and samples of each of its weights."""
        digest = hashlib.sha256(json.dumps(dataclasses.asdict(self._encoder.config), sort_keys=True).encode())
        assert self._encoder.tokenizer is not None
        digest.update(json.dumps(self._encoder.tokenizer.get_vocab(), sort_keys=True).encode())
        for name, weight in self._encoder.state_dict().items():
            flat = weight.flatten()
            samples = flat[:: max(1, len(flat) // SAMPLES)].double().tolist()
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)} {samples}".encode())
        return digest.hexdigest()[:16]
