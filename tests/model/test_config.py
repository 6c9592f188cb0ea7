"""What config.json may say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dynrefer import InputError
from dynrefer.model import ModelConfig
from dynrefer.model.config import PRESETS
from tests.tiny import TINY


@pytest.mark.parametrize("config", [*map(ModelConfig.preset, PRESETS), TINY], ids=lambda config: config.name)
def test_a_configuration_survives_json(config: ModelConfig) -> None:
    assert ModelConfig.from_json(json.dumps(config.to_dict())) == config


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"wheels": 4}, "wheels"),
        ({"tag_threshold": "high"}, "tag_threshold"),
        ({"tag_threshold": float("nan")}, "tag_threshold"),
        ({"tag_threshold": 1.5}, "tag_threshold"),
        ({"num_views": 0}, "num_views"),
        ({"num_views": True}, "num_views"),
        ({"num_views": "3"}, "num_views"),
        ({"default_mode": "best"}, "default_mode"),
        ({"class_template": "a class"}, "class_template"),
        ({"trainable": ["lm"]}, "trainable.0"),
        ({"encoder": 5}, "encoder"),
        ({"encoder": {"image_size": 0}}, "encoder.image_size"),
        ({"encoder": {"grids": []}}, "encoder.grids"),
        ({"encoder": {"grids": [7, "14"]}}, "encoder.grids.1"),
        ({"encoder": {"mean": [127.0]}}, "encoder.mean"),
        ({"encoder": {"std": [1.0, 0.0, 1.0]}}, "encoder.std.1"),
        ({"encoder": {"options": "none"}}, "encoder.options"),
        ({"encoder": {"options": {"hidden_size": 3}}}, "encoder.options are for the kinds blip2 and clip"),
        ({"encoder": {"kind": "clip", "options": {"depth": 3}}}, "encoder.options.depth"),
        ({"encoder": {"kind": "clip", "options": {"hidden_size": 0}}}, "encoder.options.hidden_size"),
        ({"text_encoder": {"options": {"layer_norm_eps": "small"}}}, "text_encoder.options.layer_norm_eps"),
        ({"language": {"options": {"layer_norm_epsilon": "small"}}}, "language.options.layer_norm_epsilon"),
        ({"language": {"options": {"words": 3}}}, "language.options.words"),
        ({"align": {"groups": 3}}, "align.groups"),
        ({"resampler": {"heads": 5}}, "resampler.heads"),
        ({"language": {"generation": {"beams": 3}}}, "language.generation.beams"),
        ({"language": {"generation": {"num_beams": 0}}}, "language.generation.num_beams"),
        ({"language": {"generation": {"length_penalty": "long"}}}, "language.generation.length_penalty"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named.replace(".", r"\.")) as refused:
        ModelConfig.from_dict(values)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["{", "", "[]", "3", "null"])
def test_what_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"config\.json is not"):
        ModelConfig.from_json(text)


def test_settings_that_older_checkpoints_have_and_nothing_reads_are_passed_over() -> None:
    values = TINY.to_dict()
    values["language"] |= {"without_article": ["trees"], "qualities": ["snowy"]}
    assert ModelConfig.from_dict(values) == TINY


@pytest.mark.parametrize("whole", [False, True])
def test_older_checkpoints_count_class_scores_from_all_of_it_or_none(whole: bool) -> None:
    assert ModelConfig.from_dict({"relative_classes": whole}).relative_classes == whole


def test_a_preset_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(InputError, match="dynrefer-mini"):
        ModelConfig.preset("dynrefer-nano")
