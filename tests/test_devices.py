"""The number format follows the device, unless one is asked for."""

from __future__ import annotations

import pytest
import torch

from dynrefer.devices import choose_device


@pytest.mark.parametrize("instructions", ["avx512_bf16", "amx_bf16"])
def test_a_processor_multiplies_in_bfloat16_and_keeps_its_weights(
    instructions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instructions: True}, raising=False)
    choice = choose_device("cpu", "bfloat16")
    assert (choice.dtype, choice.arithmetic) == (torch.float32, torch.bfloat16)


@pytest.mark.parametrize("known", [True, False])  # to PyTorch, what the processor can do
def test_a_processor_without_instructions_takes_the_whole_network_in_bfloat16(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    if not known:
        monkeypatch.delattr(torch.cpu, "get_capabilities")
    choice = choose_device("cpu", "bfloat16")
    assert (choice.dtype, choice.arithmetic) == (torch.bfloat16, None)


def test_a_processor_that_is_asked_for_nothing_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    choice = choose_device("cpu")
    assert (choice.dtype, choice.arithmetic) == (torch.float32, None)
