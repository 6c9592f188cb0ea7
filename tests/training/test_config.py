"""Run configurations: what files say, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dynrefer.errors import InputError
from dynrefer.training.config import TrainConfig

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.json"))


def write(folder: Path, values: object) -> Path:
    path = folder / "run.json"
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_shipped_configurations_are_valid(path: Path) -> None:
    assert TrainConfig.from_json(path).batch_size > 1


def test_defaults_are_the_papers() -> None:
    config = TrainConfig()
    assert (config.weights.caption, config.weights.tag, config.weights.contrast) == (1, 0.01, 0.5)
    assert (config.optimiser.learning_rate, config.optimiser.warmup_steps) == (1e-4, 5000)
    assert (config.optimiser.weight_decay, config.batch_size, config.epochs) == (0.05, 512, 5)


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    config = TrainConfig.from_json(
        write(tmp_path, {"views": {"fixed": [0.2, 0.4]}, "steps": 7, "optimiser": {"ema": 0.9}})
    )
    assert TrainConfig.from_json(write(tmp_path, config.to_dict())) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batchsize": 3}, "no setting 'batchsize'"),
        ({"weights": {"captions": 1}}, r"no setting 'weights\.captions'; it knows caption, tag"),
        ({"batch_size": "many"}, "'batch_size'"),
        ({"batch_size": True}, "'batch_size'"),
        ({"batch_size": 6, "accumulate": 4}, "multiple of 'accumulate'"),
        ({"save_every": 0}, "at least 1"),
        ({"precision": "fp8"}, "'bf16' or 'fp32'"),
        ({"optimiser": {"betas": ["a", 0.9]}}, r"'optimiser\.betas\.0' in run\.json cannot be 'a'"),
        ({"optimiser": {"betas": [0.9]}}, r"optimiser\.betas"),
        ({"texts": {"sources": {"human": "often"}}}, r"texts\.sources\.human"),
        ({"texts": {"sources": {"humna": 1}}}, "cannot be 'humna': input should be 'human'"),
        ({"texts": {"sources": {"human": 0}}}, "at least one source"),
        ({"views": {"fixed": ["x"]}}, r"views\.fixed\.0"),
        ({"views": {"fixed": []}}, r"views\.fixed"),
        ({"views": {"repeat": 7}}, "at most 1"),
        ({"optimiser": {"learning_rate": -1}}, "more than 0"),
        ({"optimiser": {"ema": 5}}, "less than 1"),
        ({"epochs": -3}, "'epochs' in run.json cannot be -3: it must be more than 0"),
        ({"weights": 5}, "'weights'"),
        ({"cache": {"enabled": True}, "views": {"stochastic": False}}, "cut from photographs"),
        ([], "JSON object"),
        ({"model": {"num_view": 2}}, "In run.json, 'model' cannot be used: it has a setting num_view that"),
        ({"model": {"align": {"enabled": "no"}}}, r"it says align\.enabled"),
        ({"model": {"encoder": {"image_size": 0}}}, r"encoder\.image_size 0"),
        ({"model": {"encoder": 5}}, "it says encoder 5"),
        ({"model": 5}, "'model' in run.json cannot be 5"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, values: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainConfig.from_json(write(tmp_path, values))


def test_changes_of_the_model_that_fit_some_checkpoint_are_not_refused_for_another(tmp_path: Path) -> None:
    changes = {"align": {"groups": 11}, "encoder": {"options": {"num_hidden_layers": 2}}}
    assert TrainConfig.from_json(write(tmp_path, {"model": changes})).model == changes


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.json"):
        TrainConfig.from_json(tmp_path / "absent.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        TrainConfig.from_json(tmp_path / "broken.json")


def test_epochs_give_steps_unless_steps_are_set() -> None:
    assert TrainConfig(batch_size=10, epochs=3).steps_for(100) == 30
    assert TrainConfig(batch_size=10, steps=8).steps_for(100) == 8
