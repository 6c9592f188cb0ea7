"""The paper's model in miniature: its source files, and the folder they are converted into."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.official import tiny_official as tiny


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with released.pth, base/, text/ and tags.txt."""
    folder = tmp_path_factory.mktemp("official")
    state = tiny.released_state() | {"Qformer.bert.embeddings.position_ids": torch.arange(512)[None]}
    torch.save({"model": state, "epoch": 4}, folder / "released.pth")
    tiny.write_base(folder / "base")
    tiny.write_text_tower(folder / "text")
    (folder / "tags.txt").write_text("dog\ncat\nred\n")
    return folder


@pytest.fixture(scope="session")
def converted(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.convert_tiny(sources, tmp_path_factory.mktemp("converted") / "model")
