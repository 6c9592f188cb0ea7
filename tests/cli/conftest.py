"""The command `refer`, asked with the tiny random model."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dynrefer.__main__ import main

Refer = Callable[..., int]


@pytest.fixture
def refer(tiny_checkpoint: Path, loaded: None) -> Refer:
    def run(*arguments: object) -> int:
        return main(["refer", *map(str, arguments), "--model", str(tiny_checkpoint), "--device", "cpu"])

    return run
