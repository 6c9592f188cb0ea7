"""The number format follows the device, unless one is asked for."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import torch

from dynrefer import Predictor
from dynrefer.devices import choose_device, freed_memory_returned, usable_cores


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


def test_memory_is_returned_again_and_again_until_the_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    returned = threading.Semaphore(0)
    monkeypatch.setattr("dynrefer.devices.return_freed_memory", returned.release)
    monkeypatch.setattr("dynrefer.devices.SECONDS_BETWEEN_RETURNS", 0.001)
    with freed_memory_returned():
        (thread,) = (thread for thread in threading.enumerate() if thread.name == "freed-memory")
        assert all(returned.acquire(timeout=60) for _ in range(3))
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", 64), ("250000 100000", 3), ("50000 100000", 1)])
def test_a_containers_quota_bounds_the_cores(
    quota: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr("dynrefer.devices.CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    assert usable_cores() == cores


def test_a_model_takes_no_more_threads_than_there_are_cores(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr("dynrefer.predictor.usable_cores", lambda: 1)
    try:
        torch.set_num_threads(2)
        Predictor.from_pretrained(tiny_checkpoint, "cpu")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
