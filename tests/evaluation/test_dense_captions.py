"""Dense captioning: its average precision against a case worked by hand, true boxes and a detector's boxes."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dynrefer import InputError
from dynrefer.datasets.sample import RegionText, Sample, write_samples
from dynrefer.evaluation import dense_captions
from dynrefer.evaluation.benchmark import EvaluationData, load_data
from dynrefer.evaluation.dense_captions import CaptionedBox, DenseCaptions, dense_caption_ap, merge_truth
from dynrefer.evaluation.meteor import Meteor

LEFT, RIGHT = (0.0, 0.0, 10.0, 10.0), (50.0, 0.0, 60.0, 10.0)
LOWER_HALF_OF_RIGHT = (50.0, 5.0, 60.0, 10.0)


def shared_words(captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """A stand-in for METEOR that can be worked out by hand: the best share of a reference's words."""
    return [
        max(len(set(caption.split()) & set(text.split())) / len(text.split()) for text in texts)
        for caption, texts in zip(captions, references, strict=True)
    ]


def mean_ap(images: list[tuple[list[CaptionedBox], list[CaptionedBox]]]) -> float:
    return float(np.mean(list(dense_caption_ap(images, shared_words).values())))


def test_a_case_worked_by_hand() -> None:
    truth = [CaptionedBox(LEFT, "red ball"), CaptionedBox(RIGHT, "a b c d e f g h")]
    predictions = [
        CaptionedBox(LEFT, "red ball", 0.9),
        CaptionedBox(LEFT, "red ball", 0.8),
        CaptionedBox(LOWER_HALF_OF_RIGHT, "a", 0.7),
    ]
    found = dense_caption_ap([(predictions, truth)], shared_words)
    # The third prediction (IoU 1/2, word score 1/8) is right up to those thresholds: then the curve is precision 1 up
    # to a recall of 1/2 (51 of the 100 points) and 2/3 up to 1 (49 points). Else only the 51 points count.
    for (iou, meteor), ap in found.items():
        assert ap == pytest.approx((51 + 49 * 2 / 3) / 100 if iou <= 0.5 and meteor < 0.125 else 0.51)


def test_perfect_predictions_reach_one() -> None:
    truth = [CaptionedBox(LEFT, "red ball"), CaptionedBox(RIGHT, "blue cup")]
    assert mean_ap([(truth, truth), (truth[:1], truth[:1])]) == 1.0


def test_a_duplicate_above_a_right_answer_costs_precision() -> None:
    truth = [CaptionedBox(LEFT, "red ball"), CaptionedBox(RIGHT, "blue cup")]
    once = [CaptionedBox(LEFT, "red ball", 0.9), CaptionedBox(RIGHT, "blue cup", 0.5)]
    assert mean_ap([([*once, CaptionedBox(LEFT, "red ball", 0.8)], truth)]) < mean_ap([(once, truth)])


def test_a_photograph_without_predictions_lowers_recall() -> None:
    truth = [CaptionedBox(LEFT, "red ball")]
    assert mean_ap([(truth, truth), ([], truth)]) == pytest.approx(0.51)


def test_a_photograph_without_true_boxes_costs_precision() -> None:
    truth, false_alarm = [CaptionedBox(LEFT, "red ball", 0.5)], [CaptionedBox(LEFT, "red ball", 0.9)]
    assert mean_ap([(truth, truth), (false_alarm, [])]) == pytest.approx(0.5)


def test_wrong_words_on_the_right_box_score_nothing() -> None:
    truth = [CaptionedBox(LEFT, "red ball")]
    assert mean_ap([([CaptionedBox(LEFT, "blue cup")], truth)]) == 0.0


def test_the_order_of_equal_scores_is_irrelevant() -> None:
    chance = random.Random(0)
    images = []
    for _ in range(6):
        spots = [(x := chance.uniform(0, 90), y := chance.uniform(0, 90), x + 30, y + 30) for _ in range(8)]
        words = ["red ball", "blue cup", "red cup", "ball"]
        predictions = [CaptionedBox(spot, chance.choice(words), chance.choice([0.2, 0.5])) for spot in spots]
        images.append((predictions, [CaptionedBox(spot, chance.choice(words)) for spot in spots[:5]]))
    first = dense_caption_ap(images, shared_words)
    for _ in range(5):
        shuffled = [(chance.sample(predictions, len(predictions)), truth) for predictions, truth in images]
        assert dense_caption_ap(chance.sample(shuffled, len(shuffled)), shared_words) == first


def test_true_boxes_that_overlap_by_seven_tenths_become_one_with_all_their_captions() -> None:
    twins = [CaptionedBox((0, 0, 10, 10), "red ball"), CaptionedBox((0, 0, 10, 8), "toy"), CaptionedBox(RIGHT, "cup")]
    boxes, references = merge_truth(twins)
    assert boxes.tolist() == [[0, 0, 10, 9], list(RIGHT)]
    assert references == [("red ball", "toy"), ("cup",)]


TEXTS = {"1": ("a red ball", (5.0, 5.0, 60.0, 60.0)), "2": ("a dog on grass", (10.0, 10.0, 90.0, 80.0))}


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """A built folder of two photographs with one box each that a person described."""
    folder = tmp_path / "described"
    folder.mkdir()
    samples = []
    for image_id, (text, box) in TEXTS.items():
        image = folder / f"{image_id}.png"
        Image.new("RGB", (120, 90), "white").save(image)
        texts = (RegionText(text, "human"),)
        samples.append(Sample(image, image_id, (120, 90), box, texts, f"own-{image_id}", "val"))
    write_samples(samples, folder / "samples.jsonl")
    return folder


@pytest.fixture(autouse=True)
def words_without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared words in place of METEOR, whose own tests are elsewhere."""
    monkeypatch.setattr(dense_captions, "plain_scores", lambda found, texts, _: shared_words(found, texts))


def detections(folder: Path, content: Any) -> Path:
    file = folder / "boxes.json"
    file.write_text(json.dumps(content))
    return file


def answer(caption: str, score: float) -> dict[str, Any]:
    return {"caption": caption, "score": score}


def test_the_right_words_on_the_true_boxes_reach_one_hundred(described: Path) -> None:
    benchmark = DenseCaptions.load(load_data(described), Meteor())
    right = {r.key: answer(TEXTS[r.image.stem][0], 0.5) for r in benchmark.regions}
    assert benchmark.score(right).figures[0].value == 100.0


def test_a_detectors_boxes_keep_its_scores_and_coco_places(described: Path) -> None:
    boxes = [
        {"image_id": int(image_id), "bbox": [x1, y1, x2 - x1, y2 - y1], "score": 0.9}
        for image_id, (_, (x1, y1, x2, y2)) in TEXTS.items()
    ]
    false_alarm = {"image_id": 1, "bbox": [80, 60, 30, 20], "score": 0.95}
    benchmark = DenseCaptions.load(load_data(described), Meteor(), boxes=detections(described, [*boxes, false_alarm]))
    answers = {region.key: answer(TEXTS[region.image.stem][0], 0.1) for region in benchmark.regions}
    (figure,) = benchmark.score(answers).figures
    assert figure.value == pytest.approx(100 * 2 / 3)
    assert figure.detector and figure.protocol.endswith("detected boxes")


def load_boxes(content: Any) -> Callable[[Path], DenseCaptions]:
    return lambda folder: DenseCaptions.load(load_data(folder), Meteor(), boxes=detections(folder, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": [], "annotations": []}, "not a COCO result file"),
        ([{"image_id": 1, "bbox": [0, 0, 5, 5]}], "not a COCO result file"),
        ([{"image_id": 77, "bbox": [0, 0, 5, 5], "score": 1}], "no photograph with the image id 77"),
        ([{"image_id": 1, "bbox": [0, 0, 5, 5], "score": "high"}], "must be a finite number"),
        ([{"image_id": 1, "bbox": [500, 0, 5, 5], "score": 1}], "inside the photograph"),
    ],
)
def test_box_files_that_do_not_fit_are_refused_in_one_sentence(described: Path, content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_boxes(content)(described)


def test_a_bad_box_of_a_detector_costs_itself_alone_and_is_named(described: Path) -> None:
    good = {"image_id": 1, "bbox": [5, 5, 55, 55], "score": 0.9}
    data = load_data(described)
    boxes = detections(described, [good, good | {"bbox": [5, 5, 0, 9]}, good | {"image_id": 77}])
    benchmark = DenseCaptions.load(data, Meteor(), boxes=boxes)
    assert len(benchmark.regions) == 1
    assert [record.annotation for record in data.left_out] == ["box 2 of boxes.json", "box 3 of boxes.json"]


def test_a_photograph_that_could_not_be_asked_about_is_no_miss(described: Path) -> None:
    benchmark = DenseCaptions.load(load_data(described), Meteor())
    first = benchmark.regions[0]
    kept = benchmark.only(frozenset([first.key]))
    assert kept.score({first.key: answer(TEXTS["1"][0], 0.5)}).figures[0].value == 100.0


def test_the_limit_counts_whole_photographs(described: Path) -> None:
    benchmark = DenseCaptions.load(load_data(described), Meteor(), limit=1)
    assert [region.image.stem for region in benchmark.regions] == ["1"]


def test_data_without_peoples_captions_is_called_empty(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no boxes with captions by people"):
        DenseCaptions.load(EvaluationData("none", tmp_path, []), Meteor())
