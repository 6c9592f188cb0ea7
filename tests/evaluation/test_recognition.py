"""What is scored as region recognition."""

from dataclasses import replace
from pathlib import Path

import pytest

from dynrefer.datasets.sample import RegionText, Sample, read_samples, write_samples
from dynrefer.evaluation.benchmark import EvaluationData, Scores
from dynrefer.evaluation.recognition import Recognition
from dynrefer.question import Question


def box_of(class_name: str, box: tuple[float, float, float, float], number: int) -> Sample:
    return Sample(Path(f"{number}.png"), str(number), (100, 100), box, (), str(number), "val", class_name=class_name)


@pytest.fixture
def data() -> EvaluationData:
    samples = [box_of("dog", (0, 0, 50, 50), 1), box_of("cat", (0, 0, 5, 5), 2), box_of("zebra", (0, 0, 80, 80), 3)]
    return EvaluationData("mini val", Path(), samples)


def scored(
    data: EvaluationData, answers: dict[str, list[float]], tags: tuple[str, ...] = (), sure: float = 0.0
) -> Scores:
    """The scores where each class is answered so, in the order dog, cat, zebra; best scores from `sure` on are sure."""
    benchmark = Recognition.load(data, classes=["dog", "cat", "zebra"])
    predictions = {}
    for region, sample in zip(benchmark.regions, data.samples, strict=True):
        classes = answers[sample.class_name or ""]
        predictions[region.key] = {"classes": classes, "sure": max(classes) >= sure, "tags": list(tags)}
    return benchmark.score(predictions)


ANSWERS = {"dog": [0.9, 0.1, 0.0], "cat": [0.8, 0.2, 0.0], "zebra": [0.1, 0.2, 0.7]}
TRUE_BOXES = "mini val, true boxes, 3 classes"


def figures(scores: Scores, metric: str) -> dict[str, tuple[float, int]]:
    return {f.protocol: (pytest.approx(f.value), f.count) for f in scores.figures if f.metric == metric}


def test_small_boxes_count_among_all_but_not_among_the_large(data: EvaluationData) -> None:
    accuracy = figures(scored(data, ANSWERS), "accuracy")
    assert accuracy[TRUE_BOXES] == (200 / 3, 3)
    assert accuracy[f"{TRUE_BOXES}, above 0.5% of the photograph"] == (100.0, 2)


def test_calibration_of_best_and_of_all_names_is_a_figure_a_plot_and_a_table(data: EvaluationData) -> None:
    scores = scored(data, ANSWERS)
    # Best names: .9 right, .8 wrong, .7 right, each in a bin of its own.
    assert figures(scores, "calibration error, best name")[TRUE_BOXES] == (100 * (0.1 + 0.8 + 0.3) / 3, 3)
    # All names: 0, 0 false; .1, .1 false; .2, .2 of which none is true but the cat's; .7 and .9 true; .8 false.
    assert figures(scores, "calibration error, all names")[TRUE_BOXES] == (
        100 * (0 + 2 * 0.1 + 2 * abs(0.2 - 0.5) + 0.3 + 0.1 + 0.8) / 9,
        3,
    )
    assert scores.plots["reliability.png"]().startswith(b"\x89PNG")
    (table,) = (rows for name, rows in scores.details.items() if "sure" in name)
    assert next(row for row in table if row["threshold"] == 0.85)["right_if_sure"] == 1.0


def test_how_often_the_model_is_sure_and_right_then_is_told(data: EvaluationData) -> None:
    scores = scored(data, ANSWERS, sure=0.75)
    assert figures(scores, "answers called sure")[TRUE_BOXES] == (200 / 3, 3)
    assert figures(scores, "right where sure")[TRUE_BOXES] == (50.0, 2)


def test_tags_are_right_wrong_or_unknown() -> None:
    def tagged(number: int, name: str, tags: tuple[str, ...], ignored: tuple[str, ...] = ()) -> Sample:
        return replace(box_of(name, (0, 0, 50, 50), number), tags=tags, ignored_tags=ignored)

    samples = [tagged(1, "dog", ("dog", "brown")), tagged(2, "cat", ("cat",), ("brown",)), tagged(3, "zebra", ())]
    scores = scored(EvaluationData("mini val", Path(), samples), ANSWERS, tags=("dog", "brown", "fluffy"))
    # Right: dog and brown of the first. Wrong: dog of the others, brown of the third. Nobody knows of fluffy.
    assert figures(scores, "tag precision")[TRUE_BOXES] == (100 * 2 / 5, 5)


def test_without_known_tags_there_is_no_precision_of_tags(data: EvaluationData) -> None:
    assert figures(scored(data, ANSWERS, tags=("dog",)), "tag precision") == {}


def test_boxes_of_other_classes_than_the_list_are_left_out_and_counted(data: EvaluationData) -> None:
    benchmark = Recognition.load(data, classes=["dog", "cat"])
    assert [sample.class_name for sample in benchmark.samples] == ["dog", "cat"]
    assert benchmark.left_out == 1


def test_a_class_written_with_double_blanks_is_the_class_that_is_answered(tmp_path: Path) -> None:
    written = box_of("rocking  chair ", (0, 0, 50, 50), 1)
    write_samples([replace(written, texts=(RegionText("a rocking chair", "class"),))], tmp_path / "samples.jsonl")
    benchmark = Recognition.load(EvaluationData("mine", tmp_path, read_samples(tmp_path / "samples.jsonl")))
    asked = Question.checked(benchmark.question)
    assert asked.classes == benchmark.classes == ("rocking chair",)
    assert benchmark.labels.tolist() == [0]


def test_cocos_eighty_classes_are_the_default_where_they_hold_all_boxes(data: EvaluationData) -> None:
    assert len(Recognition.load(data).classes) == 80
