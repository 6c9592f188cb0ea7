"""Whole runs of every benchmark on a tiny data set with a tiny random model."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynrefer import InputError, Predictor
from dynrefer.evaluation import BenchmarkOptions, report, run_benchmark
from dynrefer.evaluation.ranking import average_precision

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="METEOR and its tokenizer need Java")

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(coco_folder: Path, tiny_checkpoint: Path, tmp_path: Path) -> Run:
    """Run a benchmark into a folder of the same name; keyword arguments are options."""

    def run_it(name: str, out: str = "", **options: Any) -> dict[str, Any]:
        given = BenchmarkOptions(**{"model": str(tiny_checkpoint), "device": "cpu"} | options)
        return run_benchmark(name, coco_folder, tmp_path / (out or name), given)

    return run_it


def values(metrics: dict[str, Any]) -> dict[str, float]:
    return {figure["metric"]: figure["value"] for figure in metrics["figures"] if "above" not in figure["protocol"]}


def test_recognition_measures_what_the_predictor_answers(run: Run, coco_folder: Path, predictor: Predictor) -> None:
    found = values(run("recognition", classes=["dog", "cat", "car", "cup"], batch_size=2))
    annotations = json.loads((coco_folder / "annotations/instances.json").read_text())
    names = {category["id"]: category["name"] for category in annotations["categories"]}
    right = []
    for entry in annotations["annotations"]:
        x, y, width, height = entry["bbox"]
        photo = coco_folder / "images" / f"{entry['image_id']:012}.png"
        best = predictor.refer(photo, (x, y, x + width, y + height)).classes[0].name
        right.append(best == names[entry["category_id"]])
    assert found["accuracy"] == pytest.approx(100 * np.mean(right))


def test_attributes_ignore_unknown_labels_and_use_the_predictors_scores(
    run: Run, coco_folder: Path, predictor: Predictor
) -> None:
    metrics = run("attributes")
    labels, scores = [], []
    for entry in json.loads((coco_folder / "annotations/ovad.json").read_text())["annotations"]:
        x, y, width, height = entry["bbox"]
        photo = coco_folder / "images" / f"{entry['image_id']:012}.png"
        result = predictor.refer(photo, (x, y, x + width, y + height), captions=False)
        labels.append(entry["att_vec"][2])
        scores.append(next(item.score for item in result.attributes if item.name == "big"))
    known = np.array(labels) != -1
    expected = average_precision(np.array(labels)[known], np.array(scores)[known])
    assert metrics["details"]["AP by attribute"]["size:big/large"] == pytest.approx(100 * expected)
    assert {"mAP all", "mAP head", "mAP medium", "mAP tail", "chance mAP all"} == values(metrics).keys()


def test_a_run_leaves_predictions_metrics_and_a_report_that_say_how_they_came_to_be(run: Run, tmp_path: Path) -> None:
    metrics = run("attributes", views="random 2 views", seed=3)
    stored = json.loads((tmp_path / "attributes/predictions.json").read_text())["predictions"]
    assert len(stored) == 6
    assert all(len(record["prediction"]["t"]) == 1 for record in stored)
    assert json.loads((tmp_path / "attributes/metrics.json").read_text()) == metrics
    assert metrics["views"] == "random 2 views"
    assert metrics["inference"]["device"] == "cpu"
    assert metrics["model_hash"] in (tmp_path / "attributes/report.md").read_text()


def test_an_interrupted_run_goes_on_and_ends_as_an_undisturbed_one(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed = run("attributes", out="undisturbed")
    run("attributes", out="interrupted", limit=3)
    capsys.readouterr()
    resumed = run("attributes", out="interrupted")
    assert "Going on after 3 stored predictions" in capsys.readouterr().out
    assert values(resumed) == pytest.approx(values(undisturbed), rel=1e-4)


def test_a_damaged_photograph_ends_the_run_but_keeps_finished_predictions(
    run: Run, coco_folder: Path, tmp_path: Path
) -> None:
    (coco_folder / "images/000000000003.png").write_bytes(b"not a photograph")
    with pytest.raises(InputError):
        run("attributes", batch_size=1)
    assert len((tmp_path / "attributes/predictions.partial.jsonl").read_text().splitlines()) == 1 + 4


def test_changed_views_start_anew_with_a_message(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("attributes", views="t=0.3")
    run("attributes", views="t=0.5")
    assert "Starting anew, since views changed" in capsys.readouterr().out


def test_rescore_needs_no_model_and_gives_the_same_figures(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run("attributes")
    monkeypatch.delattr(Predictor, "from_pretrained")
    again = run("attributes", model=None, rescore=True)
    assert again == first


def test_rescore_refuses_predictions_of_another_model(run: Run, tiny_checkpoint: Path, tmp_path: Path) -> None:
    run("attributes")
    other = shutil.copytree(tiny_checkpoint, tmp_path / "other")
    (other / "vocabulary.json").write_text((other / "vocabulary.json").read_text() + "\n")
    with pytest.raises(InputError, match="of another model"):
        run("attributes", model=str(other), rescore=True)


@needs_java
def test_captions_name_both_protocols_and_that_the_texts_are_derived(run: Run) -> None:
    metrics = run("captions")
    protocols = {figure["protocol"] for figure in metrics["figures"]}
    texts = "tiny_coco val, texts derived from whole-image captions"
    assert protocols == {f"{texts}, all regions", f"{texts}, one region an image"}


def test_missing_java_stops_captions_before_any_inference(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="install a Java runtime"):
        run("captions")
    assert not (tmp_path / "captions").exists()


def test_the_ablation_has_the_rows_of_the_paper_and_a_curve(run: Run, tmp_path: Path, coco_folder: Path) -> None:
    (coco_folder / "annotations/captions.json").unlink()
    metrics = run("ablation", limit=4)
    labels = [figure["protocol"].split("; ")[1] for figure in metrics["figures"] if figure["metric"] == "mAP all"]
    assert labels[:4] == [
        "1 view: the region",
        "2 views, fixed: the region and the whole image",
        "2 views, random",
        "2 views, dynamic",
    ]
    best = [figure["value"] for figure in metrics["figures"] if "2 views, best" in figure["protocol"]]
    with (tmp_path / "ablation/curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["t"]) for row in rows] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert max(float(row["recognition: accuracy"]) for row in rows) == pytest.approx(best[0], abs=1e-3)
    assert (tmp_path / "ablation/curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_of_runs_puts_the_authors_figures_beside_ours(run: Run, tmp_path: Path) -> None:
    run("attributes")
    run("recognition", classes=["dog", "cat", "car", "cup"])
    table = report([tmp_path / "attributes", tmp_path / "recognition"])
    row = next(line for line in table.splitlines() if "mAP all" in line and "chance" not in line)
    assert "29.2 on COCO val2017, box oracle (not comparable)" in row
    assert "tiny_coco val, box oracle" in row


@pytest.mark.parametrize(
    ("benchmark", "options", "message"),
    [
        ("segmentation", {}, "no benchmark 'segmentation'"),
        ("attributes", {"views": "nowhere"}, "is not understood"),
        ("attributes", {"limit": 0}, "leaves nothing"),
        ("attributes", {"batch_size": 0}, "holds no region"),
        ("attributes", {"split": "test"}, "has no 'test' part, only val"),
        ("attributes", {"rescore": True}, "no finished predictions"),
        ("ablation", {"rescore": True}, "takes no --rescore"),
        ("recognition", {"classes": ["zebra"]}, "is empty for this benchmark"),
        ("dense-captions", {}, "no boxes with captions by people"),
    ],
)
def test_bad_input_is_one_sentence(run: Run, benchmark: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(benchmark, **options)


def test_a_photograph_that_is_missing_is_named(run: Run, coco_folder: Path) -> None:
    (coco_folder / "images/000000000002.png").unlink()
    with pytest.raises(InputError, match=r"000000000002\.png"):
        run("attributes")


def test_a_folder_without_a_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data folder"):
        run_benchmark("attributes", tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(InputError, match="no data set that is known"):
        run_benchmark("attributes", tmp_path, tmp_path / "out")
