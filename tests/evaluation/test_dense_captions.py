"""Dense captioning on true boxes and on a detector's boxes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dynrefer import InputError
from dynrefer.datasets.io import write_samples
from dynrefer.datasets.sample import RegionText, Sample
from dynrefer.evaluation.dense_captions import DenseCaptions
from dynrefer.evaluation.samples import EvaluationData, load_data

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="METEOR needs Java")

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


def detections(folder: Path, content: Any) -> Path:
    file = folder / "boxes.json"
    file.write_text(json.dumps(content))
    return file


def answer(caption: str, score: float) -> dict[str, Any]:
    return {"caption": caption, "score": score}


@needs_java
def test_the_right_words_on_the_true_boxes_reach_one_hundred(described: Path) -> None:
    benchmark = DenseCaptions.load(load_data(described))
    right = {r.key: answer(TEXTS[r.image.stem][0], 0.5) for r in benchmark.regions}
    assert benchmark.score(right).figures[0].value == 100.0


@needs_java
def test_a_detectors_boxes_keep_its_scores_and_coco_places(described: Path) -> None:
    boxes = [
        {"image_id": int(image_id), "bbox": [x1, y1, x2 - x1, y2 - y1], "score": 0.9}
        for image_id, (_, (x1, y1, x2, y2)) in TEXTS.items()
    ]
    false_alarm = {"image_id": 1, "bbox": [80, 60, 30, 20], "score": 0.95}
    benchmark = DenseCaptions.load(load_data(described), boxes=detections(described, [*boxes, false_alarm]))
    answers = {region.key: answer(TEXTS[region.image.stem][0], 0.1) for region in benchmark.regions}
    (figure,) = benchmark.score(answers).figures
    assert figure.value == pytest.approx(100 * 2 / 3)
    assert figure.detector and figure.protocol.endswith("detected boxes")


def load_boxes(content: Any) -> Callable[[Path], DenseCaptions]:
    return lambda folder: DenseCaptions.load(load_data(folder), boxes=detections(folder, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": [], "annotations": []}, "not a COCO result file"),
        ([{"image_id": 1, "bbox": [0, 0, 5, 5]}], "not a COCO result file"),
        ([{"image_id": 77, "bbox": [0, 0, 5, 5], "score": 1}], "image id 77, which has no photograph"),
        ([{"image_id": 1, "bbox": [0, 0, 5, 5], "score": "high"}], "score of a detector must be a number"),
        ([{"image_id": 1, "bbox": [500, 0, 5, 5], "score": 1}], "box"),
    ],
)
def test_box_files_that_do_not_fit_are_refused_in_one_sentence(described: Path, content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_boxes(content)(described)


def test_the_limit_counts_whole_photographs(described: Path) -> None:
    benchmark = DenseCaptions.load(load_data(described), limit=1)
    assert [region.image.stem for region in benchmark.regions] == ["1"]


def test_data_without_peoples_captions_is_called_empty(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no boxes with captions by people"):
        DenseCaptions.load(EvaluationData("none", tmp_path, []))
