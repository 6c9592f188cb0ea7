"""Ray Data as far as it can be told without a cluster; with one: `python -m benchmarks.bulk_on_ray`."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.bulk.conftest import Describe


def test_without_ray_a_sentence_says_what_to_install(
    describe: Describe,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert describe(photographs, "--whole", "--out", tmp_path / "out", "--ray", "local") == 2
    assert "pip install -r requirements-scale.txt" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_does_not_answer_is_told_at_once(
    describe: Describe,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    address: str,
) -> None:
    def init(asked: str, **_: object) -> None:
        assert asked == "auto", "Ray would try for long"
        raise ConnectionError("Could not find any running Ray instance")  # as ray.init does

    ray = ModuleType("ray")
    ray.init, ray.data = init, ModuleType("ray.data")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", ray.data)
    assert describe(photographs, "--whole", "--out", tmp_path / "out", "--ray", address) == 2
    assert f"o Ray cluster answers at {address}" in capsys.readouterr().err


@pytest.mark.parametrize("actors", ["0", "2-", "many"])
def test_actors_are_a_number_or_a_range(
    describe: Describe, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], actors: str
) -> None:
    assert describe(photographs, "--whole", "--out", tmp_path / "out", "--ray", "local", "--actors", actors) == 2
    assert "--actors must be a number" in capsys.readouterr().err
