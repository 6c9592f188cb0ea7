"""A tiny random model in a real checkpoint folder, shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from dynrefer import Predictor
from dynrefer.checkpoint import save_checkpoint
from tests.tiny import tiny_model, tiny_vocabulary

# Gradio looks for a free port from here on: every process of `pytest -n` in a range of its own.
os.environ.setdefault("GRADIO_SERVER_PORT", str(7860 + 100 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])))

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of the tiny random model."""
    model = tiny_model()
    assert model.text_encoder is not None
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    return save_checkpoint(folder, model, tiny_vocabulary().embedded(model.text_encoder), torch.float32)


@pytest.fixture
def predictor(tiny_checkpoint: Path) -> Predictor:
    """A fresh predictor of the tiny model, nothing cached."""
    return Predictor.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.fixture(scope="session")
def tiny_predictor(tiny_checkpoint: Path) -> Predictor:
    """A predictor of the tiny model that many tests share."""
    return Predictor.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.fixture
def photo() -> np.ndarray:
    """A photograph with something different everywhere: uint8 [90, 120, 3]."""
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
