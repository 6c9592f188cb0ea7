"""OpenVINO encodes views as PyTorch does, and PyTorch goes on where it cannot."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dynrefer import Predictor
from tests.tiny import tiny_model


@torch.no_grad()
@pytest.mark.parametrize(("arithmetic", "off"), [(None, 1e-5), (torch.bfloat16, 0.05)])
def test_openvino_gives_the_tokens_that_pytorch_gives(arithmetic: torch.dtype | None, off: float) -> None:
    one, other = tiny_model(), tiny_model()
    one.prepare_inference()
    other.prepare_inference(arithmetic, openvino=True)
    assert other.openvino is not None
    for views in (3, 1):
        pixels = one.normalize(torch.randint(0, 256, (views, 64, 64, 3), dtype=torch.uint8))
        expected, tokens = one.encode(pixels), other.encode(pixels)
        assert tokens.shape == expected.shape and tokens.dtype == torch.float32
        assert (tokens - expected).norm() < off * expected.norm()


def test_a_predictor_answers_the_same_with_openvino(
    tiny_checkpoint: Path, predictor: Predictor, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DYNREFER_ENGINE", "openvino")
    other = Predictor.from_pretrained(tiny_checkpoint, device="cpu")
    assert other.model.openvino is not None and "OpenVINO" in other.device_reason
    one, two = (asked.refer(photo, box=(4, 4, 40, 40)) for asked in (predictor, other))
    assert one.caption is not None and two.caption is not None and one.caption.text == two.caption.text
    assert [score.name for score in one.classes] == [score.name for score in two.classes]
    assert [score.score for score in one.classes] == pytest.approx([score.score for score in two.classes], abs=1e-4)


def test_pytorch_goes_on_where_openvino_is_broken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    model = tiny_model()
    with caplog.at_level(logging.WARNING):
        model.prepare_inference(openvino=True)
    assert model.openvino is None and "PyTorch encodes photographs" in caplog.text
