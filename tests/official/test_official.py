"""The trained part of the paper's model against the answers of the authors' own modules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dynrefer.model import DynRefer, ModelConfig
from dynrefer.official.names import convert_state_dict, released_name
from tests.official import tiny_official as tiny

FACTS = Path(__file__).parent / "facts"


def close(ours: Tensor, theirs: Tensor) -> None:
    """Agreement to 1e-4 of the largest number."""
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


@pytest.fixture(scope="module")
def keys() -> dict[str, list[int]]:
    return json.loads((FACTS / "keys.json").read_text())


@pytest.fixture(scope="module")
def full_size(keys: dict[str, list[int]]) -> DynRefer:
    """The trained part of the paper's model with the synthetic weights that the authors' modules were run with."""
    model = DynRefer(ModelConfig.preset("dynrefer-flant5xl"), backbones=False)
    model.load_state_dict(convert_state_dict({name: tiny.synthetic(name, shape) for name, shape in keys.items()}))
    return model.eval()


@torch.no_grad()
def test_every_stage_answers_as_the_authors_modules_do(full_size: DynRefer) -> None:
    case = {name: torch.from_numpy(value).float() for name, value in np.load(FACTS / "network.npz").items()}
    fused = full_size.align(full_size.align.cut(case["vit_tokens"], case["boxes"]))
    queries = full_size.resampler(fused)
    close(fused[:, ::8, ::16], case["fused"])
    close(queries[:, :, ::8], case["query"])
    close(full_size.tag_logits(queries, case["tags"]), case["tag_logits"])
    close(full_size.contrast_logits(queries, case["texts"]), case["attr_logits"])
    close(full_size.language.project(queries)[:, :, ::32], case["llm"])


def test_all_348_trained_tensors_have_a_place(keys: dict[str, list[int]], full_size: DynRefer) -> None:
    assert len(keys) == 348
    assert {released_name(name) for name in full_size.state_dict()} == set(keys)
    assert sum(p.numel() for p in full_size.parameters()) == sum(int(np.prod(shape)) for shape in keys.values())
