"""Batches: what a step trains on follows from seed and step alone, and obeys the rules for views and texts."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dynrefer.datasets.sample import RegionText, Sample
from dynrefer.errors import InputError
from dynrefer.training.collate import Collate, StepPart
from dynrefer.training.config import AugmentConfig, TextConfig, TrainConfig, ViewsConfig
from dynrefer.training.dataset import CachedViews, PhotographViews, RegionDataset, StepSampler
from dynrefer.training.objective import Batch
from dynrefer.training.regions import RegionTable, TextTable, draw_controls
from dynrefer.training.setup import Setup, prepare
from dynrefer.vocabulary import Vocabulary
from tests.tiny import tiny_vocabulary, word_tokenizer

EVERY = {"class": 1.0, "grounded": 1.0}


def table_of(texts: dict[str, int]) -> TextTable:
    return TextTable(list(texts), word_tokenizer(), lambda rows: torch.eye(len(rows), 4))


def part_of(setup: Setup, step: int, part: int = 0, parts: int = 1) -> StepPart:
    [indices] = StepSampler(range(step, step + 1), setup.dataset.config.batch_size, [part], parts)
    return setup.collate([setup.dataset[index] for index in indices])


def batch_of(setup: Setup, step: int, part: int = 0, parts: int = 1) -> Batch:
    batch = part_of(setup, step, part, parts).batch
    assert batch is not None
    return batch


def assert_same(one: Batch, other: Batch) -> None:
    assert one.views.keys() == other.views.keys()
    assert all(torch.equal(value, other.views[name]) for name, value in one.views.items())
    for name in one._fields[1:-1]:
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_a_step_draws_the_same_whenever_it_is_asked(setup: Setup) -> None:
    first, other = batch_of(setup, 3), batch_of(setup, 4)
    assert_same(first, batch_of(setup, 3))
    assert not torch.equal(first.views["cuts"], other.views["cuts"])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_the_steps_in_order_whoever_prepares_them(setup: Setup, workers: int) -> None:
    sampler = StepSampler(range(2, 5), 4, range(1), 1)
    loader = DataLoader(setup.dataset, batch_sampler=sampler, collate_fn=setup.collate, num_workers=workers)
    for step, part in zip(range(2, 5), loader, strict=True):
        assert_same(part.batch, batch_of(setup, step))


def test_a_cache_that_a_worker_gets_is_mapped_and_not_copied(setup: Setup) -> None:
    views = setup.dataset.views
    assert isinstance(views, CachedViews)
    assert len(pickle.dumps(views.cache)) < 500
    assert np.array_equal(pickle.loads(pickle.dumps(views.cache)).features[0], views.cache.features[0])


def test_parts_of_a_batch_are_the_batch(setup: Setup) -> None:
    whole, parts = batch_of(setup, 0), [batch_of(setup, 0, k, 2) for k in range(2)]
    for place in range(4):
        part, row = parts[place % 2], place // 2
        assert torch.equal(part.views["geometry"][row], whole.views["geometry"][place])
        assert part.text_id[row] == whole.text_id[place]
        cuts, every = (of.views["cuts"].view(count, 3, -1) for of, count in ((part, 2), (whole, 4)))
        assert torch.equal(cuts[row], every[place])
    assert torch.equal(batch_of(setup, 0, 1, 2).all_text_id, whole.text_id)


def test_an_epoch_shows_every_sample_once(setup: Setup) -> None:
    seen = torch.cat([setup.dataset.draw(step).samples for step in range(3)])
    assert sorted(seen.tolist()) == list(range(12))


def test_an_epochs_order_is_drawn_once(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    order = RegionDataset._order
    monkeypatch.setattr(RegionDataset, "_order", lambda self, epoch: drawn.append(epoch) or order(self, epoch))
    for step in range(9):
        setup.dataset.draw(step)
    assert drawn == [0, 1, 2]


def test_labels_belong_to_the_sample(setup: Setup, samples: list[Sample]) -> None:
    batch = batch_of(setup, 0)
    vocabulary = tiny_vocabulary()
    for row, number in enumerate(setup.dataset.draw(0).samples.tolist()):
        sample = samples[number]
        assert vocabulary.classes[batch.category[row]] == sample.class_name
        assert {vocabulary.tags[k] for k in torch.nonzero(batch.tags[row] == 1).flatten()} == set(sample.tags) & set(
            vocabulary.tags
        )
        assert tuple(batch.attributes[row].tolist()) == sample.attributes


def test_texts_of_whole_photographs_and_class_names_are_learnt_in_styles_of_their_own(setup: Setup) -> None:
    sources = ("human", "whole", "class")
    items = [replace(setup.dataset[0, place], source=source) for place, source in enumerate(sources)]
    batch = setup.collate(items).batch
    assert batch is not None
    assert [setup.model.config.language.styles[number] for number in batch.style] == ["region", "scene", "class"]


def test_the_tags_of_a_step_include_those_of_its_regions(setup: Setup) -> None:
    dataset = setup.dataset
    dataset.config = replace(dataset.config, max_tags=3)
    batch = batch_of(setup, 1)
    assert batch.tag_rows is not None and len(batch.tag_rows) == 3
    every = dataset.regions.tags(dataset.draw(1).samples)
    present = (every == 1).any(0).nonzero().flatten().tolist()
    assert len(set(present) - set(batch.tag_rows.tolist())) == max(0, len(present) - 3)
    assert torch.equal(batch.tags, every[:, batch.tag_rows])


def broken(sample: Sample, folder: Path) -> Sample:
    image = folder / "broken.png"
    image.write_bytes(b"no photograph")
    return replace(sample, image=image, class_name="dog", texts=(RegionText("a dog", "class"),))


def test_an_unreadable_photograph_never_lends_its_labels_to_another(samples: list[Sample], tmp_path: Path) -> None:
    texts: dict[str, int] = {}
    every = [broken(samples[0], tmp_path), *(s for s in samples[1:12] if s.class_name != "dog")]
    regions = RegionTable.of(every, tiny_vocabulary(), texts, EVERY)
    config = TrainConfig(batch_size=len(every), texts=TextConfig(sources={"class": 1.0, "grounded": 1.0}))
    views = PhotographViews(regions, 2, 16, ViewsConfig(), AugmentConfig())
    dataset = RegionDataset(config, regions, table_of(texts), views)
    items = [dataset[0, place] for place in range(len(every))]
    [replaced] = [item for item in items if item.unreadable]

    assert list(replaced.unreadable) == [str(tmp_path / "broken.png")]
    assert replaced.sample != 0 and replaced.text in dict(regions.texts(replaced.sample))
    part = Collate(dataset, lambda rows: (torch.zeros(len(rows), 0), torch.zeros(len(rows), 0)), [])(items)
    assert part.batch is not None
    assert tiny_vocabulary().classes.index("dog") not in part.batch.category.tolist()
    for row, item in enumerate(items):
        own = every[item.sample]
        assert tiny_vocabulary().classes[part.batch.category[row]] == own.class_name
        assert np.array_equal(item.views["geometry"], views.plain(item.sample)["geometry"])


def test_where_no_photograph_can_be_read_there_is_no_batch(samples: list[Sample], tmp_path: Path) -> None:
    texts: dict[str, int] = {}
    regions = RegionTable.of([broken(samples[0], tmp_path)], tiny_vocabulary(), texts, EVERY)
    views = PhotographViews(regions, 2, 16, ViewsConfig(), AugmentConfig())
    dataset = RegionDataset(TrainConfig(batch_size=1), regions, table_of(texts), views)
    part = Collate(dataset, lambda rows: (torch.zeros(0), torch.zeros(0)), [])([dataset[0, 0]])
    assert part.batch is None and list(part.unreadable) == [str(tmp_path / "broken.png")]


def test_a_photograph_of_another_size_than_annotated_is_not_used(samples: list[Sample]) -> None:
    regions = RegionTable.of([replace(samples[0], image_size=(640, 480))], tiny_vocabulary(), {}, EVERY)
    views = PhotographViews(regions, 2, 16, ViewsConfig(), AugmentConfig())
    with pytest.raises(InputError, match="640 x 480"):
        views.plain(0)


def views_of(setup: Setup, config: ViewsConfig) -> tuple[CachedViews, np.ndarray]:
    """Cached views under another configuration, and the first value of each slot of sample 0."""
    views = setup.dataset.views
    assert isinstance(views, CachedViews)
    changed = CachedViews(views.cache, views.rows, 3, config)
    return changed, np.asarray(views.cache.features[views.rows[0], 0])


def draw_slots(setup: Setup, config: ViewsConfig, count: int = 40) -> list[list[int]]:
    """Which cached views of sample 0 are shown, in order; a text that is sided keeps the plain variant."""
    views, stored = views_of(setup, config)
    slots = []
    for seed in range(count):
        cuts = views.draw(0, True, np.random.default_rng(seed))["cuts"]
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
        geometry = views.draw(0, True, np.random.default_rng(seed))["geometry"]
        assert np.array_equal(geometry, plain)


def test_sources_are_drawn_by_their_chances(samples: list[Sample]) -> None:
    texts = (RegionText("a dog", "class"), *(RegionText(f"a {c} dog", "grounded") for c in ("red", "blue", "big")))
    sample = replace(samples[0], texts=texts)
    regions = RegionTable.of([sample], tiny_vocabulary(), {}, {"class": 1.0, "grounded": 3.0})
    rng = np.random.default_rng(0)
    drawn = [regions.draw_text(0, rng)[1] for _ in range(400)]
    assert 0.18 < drawn.count("class") / 400 < 0.32


def test_a_sample_without_a_usable_text_is_named(samples: list[Sample]) -> None:
    with pytest.raises(InputError, match="train-0"):
        RegionTable.of(samples[:1], tiny_vocabulary(), {}, {"human": 1.0})


def test_attribute_labels_must_fit_the_vocabulary(samples: list[Sample]) -> None:
    few = tiny_vocabulary()
    few = Vocabulary(few.tags, few.attributes[:2], few.classes)
    with pytest.raises(InputError, match="same attribute list"):
        RegionTable.of(samples, few, {}, EVERY)


def test_control_words_are_dropped_as_the_paper_says() -> None:
    rng = np.random.default_rng(0)
    words = ("man", "red", "car", "holding")
    drawn = [draw_controls(words, rng, TextConfig()) for _ in range(2000)]
    assert 0.49 < sum(not row for row in drawn) / 2000 < 0.57  # 1/2 + 1/2 * 1/16
    assert 0.45 < np.mean([len(row) / 4 for row in drawn if row]) < 0.60
    assert len({row for row in drawn if set(row) == set(words)}) > 10


def test_texts_end_with_the_end_token_and_know_left_from_right() -> None:
    table = TextTable(["a dog", "a cat on the left"], word_tokenizer(), lambda rows: torch.eye(len(rows)), max_tokens=4)
    assert table.ids[0].tolist() == [*word_tokenizer().encode("a dog").ids, 1, 0]
    assert table.ids[1, -1] == 1
    assert table.sided.tolist() == [False, True]


def test_texts_that_the_tokenizer_cannot_spell_are_named() -> None:
    table = TextTable(["a dog", "un café"], word_tokenizer(), lambda rows: torch.eye(len(rows)))
    assert table.unspelled == ["un café"]


def test_sentence_embeddings_are_computed_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def embed(texts: list[str]) -> torch.Tensor:
        calls.append(len(texts))
        return torch.nn.functional.normalize(torch.ones(len(texts), 4), dim=-1)

    for _ in range(2):
        table = TextTable(["a dog", "a cat", "a car"], word_tokenizer(), embed, folder=tmp_path)
    assert calls == [1, 3, 1]
    assert torch.allclose(table.embeddings(torch.arange(3)).norm(dim=1), torch.ones(3))


def test_a_folder_without_samples_is_named(config: Path, data: Path, features: Path) -> None:
    (data / "samples.jsonl").write_text(json.dumps({"image": "x.jpg"}))
    with pytest.raises(InputError, match="Line 1"):
        prepare(TrainConfig.from_json(config), data, None, features, torch.device("cpu"))
