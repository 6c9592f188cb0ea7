"""Photographs to describe, and the command that does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from dynrefer import Predictor
from dynrefer.__main__ import main
from dynrefer.boxes import Box
from dynrefer.checkpoint import fingerprint_of
from dynrefer.photo import Photo
from dynrefer.proposals import Proposal
from dynrefer.results import Caption, RegionResult, Scored

Describe = Callable[..., int]
BOX, OTHER = [4, 4, 40, 30], [10, 2, 60, 44]


def save(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(path)
    return path


def rows(out: Path) -> list[dict[str, Any]]:
    """All rows of a run in order, without times."""
    return [row | {"timing_ms": None} for part in sorted(out.glob("part-*")) for row in rows_of(part)]


def rows_of(part: Path) -> list[dict[str, Any]]:
    """The rows of a part in either format."""
    if part.suffix == ".parquet":
        return list(pq.read_table(part).to_pylist())
    return [json.loads(line) for line in part.read_text().splitlines()]


def by_photo(out: Path) -> list[dict[str, Any]]:
    """All rows of a run, whatever their order, without times."""
    return sorted(rows(out), key=lambda row: (row["photo"], row["region"] or 0, row["error"] or ""))


class FakePredictor:
    """Tells a region's photograph and box, at once."""

    device = torch.device("cpu")

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = SimpleNamespace(fingerprint=fingerprint_of(checkpoint))

    def propose(self, photo: Photo, words: tuple[str, ...] | None = None, limit: int = 20) -> list[Proposal]:
        """Two things on every photograph but green ones, the second hardly."""
        if photo.pixels[0, 0].tolist() == [0, 128, 0]:
            return []
        named = {word: 0.5 + 0.1 * n for n, word in enumerate(words or ())}
        return [Proposal((4, 4, 40, 30), 0.9, named), Proposal((10, 2, 60, 44), 0.2, named)][:limit]

    def refer(self, photo: Photo, boxes: list[Box], **_: Any) -> list[RegionResult]:
        return next(self.refer_many(iter([(photo, boxes)])))

    def refer_many(self, requests: Iterator[tuple[Photo, list[Box]]], **_: Any) -> Iterator[list[RegionResult]]:
        for photo, boxes in requests:
            caption = Caption(photo.digest.hex(), 0.5)
            yield [
                RegionResult(box, caption, (Scored("dog", 0.25),), (), (), (), {"total": 1.0}, "fake") for box in boxes
            ]


@pytest.fixture
def describe_really(tiny_checkpoint: Path, loaded: None) -> Describe:
    """The command in this process, with the tiny model."""

    def run(*arguments: object) -> int:
        model = ["--model", str(tiny_checkpoint), "--device", "cpu", "--workers", "1"]
        return main(["describe", *model, *map(str, arguments)])

    return run


@pytest.fixture
def describe(describe_really: Describe, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Describe:
    """The same with answers that take no time."""
    monkeypatch.setattr(Predictor, "from_pretrained", lambda *_: FakePredictor(tiny_checkpoint))
    return describe_really


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for seed in range(7):
        save(tmp_path / "photographs" / f"far/{seed % 2}/{seed}.png", seed)
    return tmp_path / "photographs"


@pytest.fixture
def boxes(photographs: Path) -> Path:
    """Two boxes on every photograph."""
    names = [path.relative_to(photographs).as_posix() for path in sorted(photographs.rglob("*.png"))]
    (photographs.parent / "boxes.json").write_text(json.dumps({name: [BOX, OTHER] for name in names}))
    return photographs.parent / "boxes.json"
