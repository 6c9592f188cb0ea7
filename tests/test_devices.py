"""The number format follows what the processor computes in, unless one is asked for."""

from __future__ import annotations

import pytest
import torch

from dynrefer.devices import choose_device


@pytest.mark.parametrize("instructions", ["avx512_bf16", "amx_bf16"])
def test_products_are_in_bfloat16_where_the_processor_computes_in_it(
    instructions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instructions: True}, raising=False)
    choice = choose_device("cpu")
    assert (choice.dtype, choice.arithmetic) == (torch.float32, torch.bfloat16)
    assert "this processor computes in it" in choice.reason


def test_elsewhere_all_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    assert choose_device("cpu").arithmetic is None
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert choose_device("cpu").arithmetic is None


def test_a_format_that_is_asked_for_is_used_throughout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    choice = choose_device("cpu", "float32")
    assert (choice.dtype, choice.arithmetic) == (torch.float32, None)
