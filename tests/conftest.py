"""A tiny random model in a real checkpoint folder, shared by all tests."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

import dynrefer.ui  # noqa: F401  before gradio, whose import it makes shorter

if TYPE_CHECKING:
    from dynrefer import Predictor

# Gradio looks for a free port from here on: every process of `pytest -n`, and one beside them, in a range of its own.
os.environ.setdefault("GRADIO_SERVER_PORT", str(7960 + 100 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw-1")[2:])))

gc.disable()  # until everything is imported, see `pytest_collection`

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Nobody looks for garbage while all tests and libraries are imported, nor among them later: a quarter faster.

    This file itself imports little, since the process that deals tests out to others imports it too.
    """
    yield
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first: at the end, when one process waits for the other, they are short."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of the tiny random model."""
    import torch

    from dynrefer.checkpoint import save_checkpoint
    from tests.tiny import tiny_model, tiny_vocabulary

    model = tiny_model()
    assert model.text_encoder is not None
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    return save_checkpoint(folder, model, tiny_vocabulary().embedded(model.text_encoder), torch.float32)


@pytest.fixture(scope="session")
def tiny_predictor(tiny_checkpoint: Path) -> Predictor:
    """A predictor of the tiny model that many tests share."""
    from dynrefer import Predictor

    return Predictor.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.fixture
def predictor(tiny_predictor: Predictor) -> Predictor:
    """A fresh predictor of the tiny model, which stays as it is, nothing cached."""
    from dynrefer import Predictor

    return Predictor(tiny_predictor.checkpoint)


@pytest.fixture
def loaded(tiny_checkpoint: Path, tiny_predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that load the tiny model get the one that is loaded, each in a predictor of its own."""
    from dynrefer import Predictor

    load = Predictor.from_pretrained

    def from_pretrained(source: str | Path | None = None, *given: str | None) -> Predictor:
        if source is None or Path(source) != tiny_checkpoint or set(given) - {None, "cpu"}:
            return load(source, *given)
        return Predictor(tiny_predictor.checkpoint, tiny_predictor.device_reason)

    monkeypatch.setattr(Predictor, "from_pretrained", from_pretrained)


@pytest.fixture
def photo() -> np.ndarray:
    """A photograph with something different everywhere: uint8 [90, 120, 3]."""
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
