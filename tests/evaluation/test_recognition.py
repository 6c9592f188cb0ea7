"""What is scored as region recognition."""

from pathlib import Path

import pytest

from dynrefer import InputError
from dynrefer.datasets.sample import Sample
from dynrefer.evaluation import read_classes
from dynrefer.evaluation.recognition import Recognition
from dynrefer.evaluation.samples import EvaluationData


def box_of(class_name: str, box: tuple[float, float, float, float], number: int) -> Sample:
    return Sample(Path(f"{number}.png"), str(number), (100, 100), box, (), str(number), "val", class_name=class_name)


@pytest.fixture
def data() -> EvaluationData:
    samples = [box_of("dog", (0, 0, 50, 50), 1), box_of("cat", (0, 0, 5, 5), 2), box_of("zebra", (0, 0, 80, 80), 3)]
    return EvaluationData("mini val", Path(), samples)


def test_small_boxes_count_among_all_but_not_among_the_large(data: EvaluationData) -> None:
    benchmark = Recognition.load(data, classes=["dog", "cat", "zebra"])
    answers = {"dog": [0.9, 0.1, 0.0], "cat": [0.8, 0.2, 0.0], "zebra": [0.1, 0.2, 0.7]}
    predictions = {
        r.key: {"classes": answers[s.class_name or ""]} for r, s in zip(benchmark.regions, data.samples, strict=True)
    }
    accuracy = {f.protocol: (f.value, f.count) for f in benchmark.score(predictions).figures if f.metric == "accuracy"}
    true_boxes = "mini val, true boxes, 3 classes"
    assert accuracy[true_boxes] == (pytest.approx(200 / 3), 3)
    assert accuracy[f"{true_boxes}, above 0.5% of the photograph"] == (100.0, 2)


def test_boxes_of_other_classes_than_the_list_are_left_out_and_counted(data: EvaluationData) -> None:
    benchmark = Recognition.load(data, classes=["dog", "cat"])
    assert [sample.class_name for sample in benchmark.samples] == ["dog", "cat"]
    assert benchmark.left_out == 1


def test_cocos_eighty_classes_are_the_default_where_they_hold_all_boxes(data: EvaluationData) -> None:
    assert len(Recognition.load(data).classes) == 80


def test_class_lists_are_read_from_words_or_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_text("dog\n\nhot dog\n")
    assert read_classes("dog, hot dog") == read_classes(str(file)) == ["dog", "hot dog"]
    with pytest.raises(InputError, match="names no class"):
        read_classes(" , ")
