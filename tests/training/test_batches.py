"""Batches: what a step trains on follows from seed and step alone, and obeys the rules for views and texts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dynrefer.data.sample import RegionText, Sample
from dynrefer.errors import InputError
from dynrefer.training.batches import BatchSource
from dynrefer.training.config import TrainConfig, ViewsConfig
from dynrefer.training.regions import RegionTable
from dynrefer.training.setup import Setup, prepare
from dynrefer.training.texts import TextTable, draw_controls
from dynrefer.training.views import CachedViews
from dynrefer.vocabulary import Vocabulary
from tests.tiny import tiny_vocabulary, word_tokenizer


@pytest.fixture
def setup(config: Path, data: Path, features: Path) -> Setup:
    return prepare(TrainConfig.from_json(config), data, None, features, torch.device("cpu"), print)


@pytest.fixture
def source(setup: Setup) -> BatchSource:
    return setup.source


def table_of(samples: list[Sample]) -> TextTable:
    texts = [text.text for sample in samples for text in sample.texts]
    return TextTable(texts, word_tokenizer(), lambda rows: torch.eye(len(rows), 4))


def test_a_step_draws_the_same_whenever_it_is_asked(source: BatchSource) -> None:
    first, again, other = source.batch(source.draw(3)), source.batch(source.draw(3)), source.batch(source.draw(4))
    for name, value in vars(first).items():
        if value is not None:
            assert torch.equal(value, getattr(again, name)), name
    assert first.cuts is not None and other.cuts is not None
    assert not torch.equal(first.cuts, other.cuts)


def test_parts_of_a_batch_are_the_batch(source: BatchSource) -> None:
    draw = source.draw(0)
    whole, parts = source.batch(draw), [source.batch(draw, k, 2) for k in range(2)]
    for place in range(4):
        part, row = parts[place % 2], place // 2
        assert torch.equal(part.geometry[row], whole.geometry[place])
        assert part.text_id[row] == whole.text_id[place]
        assert torch.equal(part.cuts.view(2, 3, -1)[row], whole.cuts.view(4, 3, -1)[place])
    assert torch.equal(source.texts(draw).text_id, whole.text_id)


def test_an_epoch_shows_every_sample_once(source: BatchSource) -> None:
    seen = torch.cat([source.draw(step).samples for step in range(3)])
    assert sorted(seen.tolist()) == list(range(12))


def test_labels_belong_to_the_sample(source: BatchSource, samples: list[Sample]) -> None:
    draw = source.draw(0)
    batch = source.batch(draw)
    vocabulary = tiny_vocabulary()
    for row, number in enumerate(draw.samples.tolist()):
        sample = samples[number]
        assert vocabulary.classes[batch.category[row]] == sample.class_name
        assert {vocabulary.tags[k] for k in torch.nonzero(batch.tags[row] == 1).flatten()} == set(sample.tags) & set(
            vocabulary.tags
        )
        assert tuple(batch.attributes[row].tolist()) == sample.attributes


def test_the_tags_of_a_step_include_those_of_its_regions(setup: Setup) -> None:
    source = setup.source
    source.config = replace(source.config, max_tags=3)
    draw = source.draw(1)
    assert draw.tags is not None and len(draw.tags) == 3
    present = (source.regions.tags(draw.samples) == 1).any(0).nonzero().flatten().tolist()
    assert len(set(present) - set(draw.tags.tolist())) == max(0, len(present) - 3)
    assert torch.equal(source.bank(setup.bank, draw).tags, setup.bank.tags[draw.tags])


def views_of(setup: Setup, config: ViewsConfig) -> tuple[CachedViews, np.ndarray]:
    """Cached views under another configuration, and the first value of each slot of sample 0."""
    views = setup.source.views
    assert isinstance(views, CachedViews)
    changed = CachedViews(views.cache, views.rows, 3, config)
    return changed, np.asarray(views.cache.features[views.rows[0], 0])


def draw_slots(setup: Setup, config: ViewsConfig, count: int = 40) -> list[list[int]]:
    """Which cached views of sample 0 are shown, in order; a text that is sided keeps the plain variant."""
    views, stored = views_of(setup, config)
    slots = []
    for seed in range(count):
        cuts = views.draw([0], [True], [np.random.default_rng(seed)])["cuts"].numpy()
        slots.append([int(np.abs(stored - cut).sum((1, 2)).argmin()) for cut in cuts])
    return slots


def test_the_first_view_is_the_region_and_the_others_differ(setup: Setup) -> None:
    for slots in draw_slots(setup, ViewsConfig()):
        assert slots[0] == 0
        assert len(set(slots)) == 3


def test_other_views_come_in_any_order(setup: Setup) -> None:
    orders = {tuple(slots[1:]) for slots in draw_slots(setup, ViewsConfig())}
    assert {(1, 2), (2, 1)} <= orders


def test_missing_views_are_filled_by_the_region(setup: Setup) -> None:
    for slots in draw_slots(setup, ViewsConfig(repeat=1.0)):
        assert slots[0] == slots[2] == 0


def test_the_region_can_be_left_out(setup: Setup) -> None:
    assert all(0 not in slots for slots in draw_slots(setup, ViewsConfig(keep_region=False)))


def test_mirrored_features_never_meet_left_and_right(setup: Setup) -> None:
    views, _ = views_of(setup, ViewsConfig())
    plain = views.cache.geometry[views.rows[0], 0]
    for seed in range(20):
        geometry = views.draw([0], [True], [np.random.default_rng(seed)])["geometry"][0]
        assert np.array_equal(geometry, plain)


def test_sources_are_drawn_by_their_chances(samples: list[Sample]) -> None:
    texts = (RegionText("a dog", "class"), *(RegionText(f"a {c} dog", "grounded") for c in ("red", "blue", "big")))
    sample = replace(samples[0], texts=texts)
    regions = RegionTable([sample], tiny_vocabulary(), table_of([sample]), {"class": 1.0, "grounded": 3.0})
    rng = np.random.default_rng(0)
    drawn = [regions.draw_text(0, rng)[1] for _ in range(400)]
    assert 0.18 < drawn.count("class") / 400 < 0.32


def test_a_sample_without_a_usable_text_is_named(samples: list[Sample]) -> None:
    with pytest.raises(InputError, match="train-0"):
        RegionTable(samples[:1], tiny_vocabulary(), table_of(samples), {"human": 1.0})


def test_attribute_labels_must_fit_the_vocabulary(samples: list[Sample]) -> None:
    few = tiny_vocabulary()
    few = Vocabulary(few.tags, few.attributes[:2], few.classes)
    with pytest.raises(InputError, match="same attribute list"):
        RegionTable(samples, few, table_of(samples), {"class": 1.0, "grounded": 1.0})


def test_control_words_are_dropped_as_the_paper_says() -> None:
    rng = np.random.default_rng(0)
    words = ("man", "red", "car", "holding")
    drawn = [draw_controls(words, rng, none=0.5, drop=0.5, limit=8) for _ in range(2000)]
    assert 0.49 < sum(not row for row in drawn) / 2000 < 0.57  # 1/2 + 1/2 * 1/16
    assert 0.45 < np.mean([len(row) / 4 for row in drawn if row]) < 0.60
    assert len({row for row in drawn if set(row) == set(words)}) > 10


def test_texts_end_with_the_end_token_and_know_left_from_right() -> None:
    table = TextTable(["a dog", "a cat on the left"], word_tokenizer(), lambda rows: torch.eye(len(rows)), max_tokens=4)
    assert table.ids[0].tolist() == [*word_tokenizer().encode("a dog").ids, 1, 0]
    assert table.ids[1, -1] == 1
    assert table.sided.tolist() == [False, True]


def test_sentence_embeddings_are_computed_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def embed(texts: list[str]) -> torch.Tensor:
        calls.append(len(texts))
        return torch.nn.functional.normalize(torch.ones(len(texts), 4), dim=-1)

    for _ in range(2):
        table = TextTable(["a dog", "a cat", "a car"], word_tokenizer(), embed, folder=tmp_path)
    assert calls == [1, 3, 1]
    assert torch.allclose(table.embeddings(torch.arange(3)).norm(dim=1), torch.ones(3))


def test_a_folder_without_samples_or_sentences_is_named(config: Path, data: Path, features: Path) -> None:
    (data / "corpus.jsonl").unlink()
    with pytest.raises(InputError, match=r"corpus\.jsonl"):
        prepare(TrainConfig.from_json(config), data, None, features, torch.device("cpu"), print)
    (data / "samples.jsonl").write_text(json.dumps({"image": "x.jpg"}))
    with pytest.raises(InputError, match="Line 1"):
        prepare(TrainConfig.from_json(config), data, None, features, torch.device("cpu"), print)
