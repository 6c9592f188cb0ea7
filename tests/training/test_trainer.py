"""Runs of the tiny model: what comes out, and that being stopped or killed changes nothing."""

from __future__ import annotations

from pathlib import Path

from dynrefer.model.checkpoint import load_checkpoint
from dynrefer.training import train


def test_a_run_leaves_checkpoints_that_load(config: Path, data: Path, tmp_path: Path) -> None:
    best = train(config, data, tmp_path / "run")
    assert best == tmp_path / "run" / "best"
    assert load_checkpoint(best).name == load_checkpoint(tmp_path / "run" / "last").name == "tiny"
