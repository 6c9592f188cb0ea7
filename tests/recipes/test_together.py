"""The stage that trains everything at once: its clock, and how what it learnt travels."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from recipes.mini import together
from recipes.mini.together import FLOOR, WARMUP, rate_at, save


def test_the_rate_warms_up_by_steps_and_falls_with_the_clock() -> None:
    assert rate_at(0, 0.0) == pytest.approx(1 / WARMUP)
    assert rate_at(WARMUP, 0.0) == pytest.approx(1.0)
    assert rate_at(5000, 0.5) == pytest.approx((1 + FLOOR) / 2)
    assert rate_at(5000, 1.0) == pytest.approx(FLOOR)
    assert rate_at(5000, 1.2) == pytest.approx(FLOOR)


def test_weights_are_written_in_parts_that_are_small_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "PART_BYTES", 100)
    values = {f"part{k}": torch.full((30,), float(k)) for k in range(4)}
    save(tmp_path / "new.safetensors", values)
    files = sorted(tmp_path.glob("new*.safetensors"))
    found = {name: value for file in files for name, value in load_file(file).items()}
    assert len(files) == 4
    assert {name: value[0].item() for name, value in found.items()} == {"part0": 0, "part1": 1, "part2": 2, "part3": 3}
    assert all(value.dtype == torch.float16 for value in found.values())
