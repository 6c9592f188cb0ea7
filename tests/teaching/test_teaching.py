"""From a project's corrections to samples and to a taught checkpoint, on a tiny random model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dynrefer import Predictor
from dynrefer.checkpoint import load_checkpoint, save_checkpoint
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError
from dynrefer.project import PhotoRecord, Region, Status, project_file, write_project
from dynrefer.question import Question
from dynrefer.results import Attribute, Caption, RegionResult, Scored, Words
from dynrefer.teaching.lessons import read_lessons
from dynrefer.teaching.measure import Examination, losses, table
from dynrefer.teaching.prototypes import with_prototypes
from dynrefer.teaching.reference import called_otherwise, own_answers
from dynrefer.teaching.teach import CONFIG, teach
from tests.pointing import Pointing
from tests.tiny import tiny_model, tiny_vocabulary

SIZE = (120, 90)


def region(words: Words, status: Status = "open", left: float = 5.0) -> Region:
    answer = RegionResult(
        box=(left, 5.0, left + 40, 60.0),
        caption=Caption("a red dog", 0.4),
        classes=(Scored("dog", 0.7),),
        tags=(Scored("dog", 0.9), Scored("car", 0.5)),
        attributes=(Attribute("red", "color", 0.9), Attribute("big", "size", 0.2)),
        views=(),
    )
    return Region(Question(), answer, words, status)


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Makes a project, a list of regions a photograph."""

    def make(*photographs: list[Region]) -> Path:
        folder = tmp_path / "photos"
        folder.mkdir()
        records = []
        for number, regions in enumerate(photographs):
            pixels = np.random.default_rng(number).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
            records.append(PhotoRecord(f"{number}.png", SIZE, tuple(regions)))
        write_project(project_file(folder), records)
        return folder

    return make


def lessons_of(folder: Path) -> list[Sample]:
    found = read_lessons(folder, None, tiny_vocabulary(), 0.75)
    return [*found.taught, *found.held_out]


def test_a_persons_words_become_texts_labels_and_tags(project: Callable[..., Path]) -> None:
    said = Words("a blue cup", "cup", {"blue": True, "dog": False}, {"color:blue": True, "color:red": False})
    (first, *_) = lessons_of(project([region(said, left=5.0 + k) for k in range(4)]))
    assert [(text.text, text.source) for text in first.texts] == [("a blue cup", "human"), ("a cup", "class")]
    assert first.class_name == "cup"
    assert {"blue", "cup"} <= set(first.tags)
    assert "dog" not in (*first.tags, *first.ignored_tags)
    assert first.ignored_tags == ("car",)
    assert first.attributes == (0, 1, -1)


def test_an_accepted_answer_is_a_lesson_and_an_open_or_rejected_one_is_none(project: Callable[..., Path]) -> None:
    accepted = [region(Words(), "accepted", 5.0 + k) for k in range(4)]
    others = [region(Words(), "open", 30.0), region(Words("a cup"), "rejected", 40.0)]
    found = lessons_of(project([*accepted, *others]))
    assert len(found) == 4
    assert {sample.texts[0].text for sample in found} == {"a red dog"}


def test_regions_of_a_held_out_photograph_are_never_lessons(project: Callable[..., Path]) -> None:
    folder = project(*([region(Words(f"number {k}"), left=5.0), region(Words("more"), left=30.0)] for k in range(7)))
    found = read_lessons(folder, None, tiny_vocabulary(), 0.75)
    taught, held_out = ({sample.photo for sample in part} for part in (found.taught, found.held_out))
    assert held_out
    assert not taught & held_out
    assert len(taught | held_out) == 7


def test_a_name_used_twice_that_the_model_does_not_know_is_new(project: Callable[..., Path]) -> None:
    names = ["teapot", "teapot", "ewer", "cup"]
    folder = project([region(Words(name=name), left=5.0 + k) for k, name in enumerate(names)])
    assert read_lessons(folder, None, tiny_vocabulary(), 0.75).new_names == ("teapot",)


def test_too_few_corrections_are_refused_in_a_sentence(project: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"has 2 corrected or accepted regions"):
        lessons_of(project([region(Words("a"), left=5.0), region(Words("b"), left=9.0)]))


def test_a_loss_of_more_than_a_point_is_named() -> None:
    before = {"gallery": {"class_top1": 80.0, "caption_loss": 30.0}}
    after = {"gallery": {"class_top1": 78.9, "caption_loss": 29.1}}
    assert losses(before, after) == ["gallery: class right, % 80.0 -> 78.9"]
    assert "| gallery: class right, % | 18 | 80.0 | 78.9 |" in table(before, after, {"gallery": 18})


def test_of_its_own_answers_before_a_model_may_change_one_name_in_ten_but_nothing_else() -> None:
    before = {"own": {"class_top1": 96.0, "attribute_map": 90.0}, "gallery": {"class_top1": 96.0}}
    after = {"own": {"class_top1": 86.5, "attribute_map": 88.0}, "gallery": {"class_top1": 86.5}}
    lost = [line.partition(", %")[0] for line in losses(before, after, "own")]
    assert lost == ["own: attributes, mean average precision", "gallery: class right"]


def test_what_a_model_is_sure_of_beside_the_lessons_is_noted_and_what_it_calls_otherwise_later_is_told(
    project: Callable[..., Path], with_priors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Pointing([(5.0, 5.0, 45.0, 60.0), (60.0, 10.0, 110.0, 80.0)])  # of which a lesson is about the first
    monkeypatch.setattr(Predictor, "propose", lambda self, *given, **options: model.propose(*given, **options))
    monkeypatch.setattr(Predictor, "can_find", True)
    monkeypatch.setitem(own_answers.__globals__, "SURE", 0.0)
    checkpoint = load_checkpoint(with_priors)
    (first, *_) = own_answers(checkpoint, lessons_of(project(*corrected(4))), "val", 5)
    assert first.box == (60, 10, 110, 80)
    assert first.name in checkpoint.vocabulary.classes
    assert called_otherwise(checkpoint, [first]) == []
    other = next(name for name in checkpoint.vocabulary.classes if name != first.name)
    assert called_otherwise(checkpoint, [replace(first, name=other)]) == [f"{first.image_id}: {other} -> {first.name}"]


def test_a_taught_name_is_drawn_towards_its_examples_and_no_other_is() -> None:
    model = tiny_model()
    assert model.text_encoder is not None
    vocabulary = tiny_vocabulary().embedded(model.text_encoder)
    examples = torch.nn.functional.normalize(torch.randn(3, 16, generator=torch.Generator().manual_seed(0)), dim=-1)
    taught = with_prototypes(vocabulary, ["dog", "dog", "cat"], examples)
    assert taught.prototypes == ("dog",)  # one example is no class
    before, after = vocabulary.bank().classes, taught.bank().classes
    prototype = taught.embeddings["prototypes"][0]
    assert torch.cosine_similarity(after[0], prototype, 0) > torch.cosine_similarity(before[0], prototype, 0)
    assert torch.equal(after[1:], before[1:])


def corrected(count: int, name: str = "cup") -> list[list[Region]]:
    return [[region(Words("a blue cup", name, {"cup": True}, {"color:blue": True}))] for _ in range(count)]


def test_the_name_that_counts_is_the_one_that_the_page_would_say(
    project: Callable[..., Path], tmp_path: Path, with_priors: Path
) -> None:
    checkpoint, folder = load_checkpoint(with_priors), project(*corrected(6))
    samples = [replace(sample, split="val") for sample in lessons_of(folder)]
    certain = replace(checkpoint.vocabulary, class_priors=(0.0, 0.0, 0.0, 50.0))  # of the names, "cup" is the last
    examination = Examination.of({"project": samples}, checkpoint, CONFIG, tmp_path)
    assert examination(checkpoint.model, certain)["project"]["class_top1"] == 100


@pytest.fixture
def with_priors(tmp_path: Path) -> Path:
    """The tiny checkpoint as the embedded one is: it knows how often people say a name, and its tags name as well."""
    model = tiny_model()
    assert model.text_encoder is not None
    model.config = replace(model.config, class_tag_weight=1.0)
    vocabulary = replace(tiny_vocabulary(), class_priors=(1.0, 0.0, -1.0, -1.0)).embedded(model.text_encoder)
    return save_checkpoint(tmp_path / "with-priors", model, vocabulary, torch.float32)


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch, with_priors: Path) -> None:
    """Teach the tiny model in a few steps, with nothing in the gallery and nothing that it is sure of."""
    monkeypatch.setenv("DYNREFER_MODEL", str(with_priors))
    faster = replace(CONFIG.optimiser, learning_rate=3e-3)
    config = replace(CONFIG, steps=4, validate_every=4, batch_size=4, optimiser=faster)
    monkeypatch.setitem(teach.__globals__, "CONFIG", config)
    monkeypatch.setitem(teach.__globals__, "gallery", lambda vocabulary: [])
    monkeypatch.setitem(teach.__globals__, "own_answers", lambda *given: [])


def test_a_taught_checkpoint_finds_a_persons_words_likelier(
    project: Callable[..., Path], tmp_path: Path, few_steps: None, with_priors: Path
) -> None:
    before = load_checkpoint(with_priors)
    taught = teach(project(*corrected(6, name="teapot")), tmp_path / "taught")
    assert taught.written
    assert "held-out regions of the project: the caption" in taught.report
    predictor = Predictor.from_pretrained(tmp_path / "taught", device="cpu")
    assert predictor.model_name == "tiny-taught"
    trained = {name for name, value in predictor.model.named_parameters() if name.startswith("language")}
    same = [torch.equal(before.model.get_parameter(name), predictor.model.get_parameter(name)) for name in trained]
    assert not all(same)
    assert (tmp_path / "taught" / "README.md").read_text() == taught.report
    assert not (tmp_path / "taught.work").exists()


def test_where_something_else_would_be_lost_nothing_is_written(
    project: Callable[..., Path], tmp_path: Path, few_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(teach.__globals__, "losses", lambda *figures: ["the gallery: class right, % 80.0 -> 60.0"])
    taught = teach(project(*corrected(6)), tmp_path / "taught")
    assert not taught.written
    assert "nothing was changed" in taught.report
    assert not (tmp_path / "taught").exists()


def test_the_report_says_how_few_examples_watch_over_everything_else(
    project: Callable[..., Path], tmp_path: Path, few_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(*corrected(6))
    watched = [replace(sample, split="val", photo=f"g{number}") for number, sample in enumerate(lessons_of(folder)[:4])]
    monkeypatch.setitem(teach.__globals__, "gallery", lambda vocabulary: watched)
    report = teach(folder, tmp_path / "taught", names_only=True).report
    assert "only the gallery's 4 examples were watched, of which one is 25.0 points" in report
