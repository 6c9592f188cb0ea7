"""Whole runs of every benchmark on a tiny data set with a tiny random model."""

import contextlib
import csv
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score

from dynrefer import InputError, Predictor
from dynrefer.datasets.sample import RegionText, Sample, write_samples
from dynrefer.evaluation import runner
from dynrefer.evaluation.meteor import Meteor
from dynrefer.evaluation.predictions import PredictionStore
from dynrefer.evaluation.report import report
from dynrefer.evaluation.runner import BenchmarkOptions, run_benchmark

CLASSES = ["dog", "cat", "car", "cup"]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(coco_folder: Path, tiny_checkpoint: Path, loaded: None, tmp_path: Path) -> Run:
    """Run a benchmark into a folder of the same name; keyword arguments are options."""

    def run_it(name: str, out: str = "", data: Path = coco_folder, **options: Any) -> dict[str, Any]:
        given = BenchmarkOptions(**{"model": str(tiny_checkpoint), "device": "cpu"} | options)
        return run_benchmark(name, data, tmp_path / (out or name), given)

    return run_it


def values(metrics: dict[str, Any]) -> dict[str, float]:
    return {figure["metric"]: figure["value"] for figure in metrics["figures"] if "above" not in figure["protocol"]}


def stored(folder: Path) -> dict[str, Any]:
    records = json.loads((folder / "predictions.json").read_text())["predictions"]
    return {record["key"]: record["prediction"] for record in records}


def photographs(folder: Path, *names: str, described: bool = True) -> Path:
    """A folder with photographs of these names, each another one, and a box with class dog (and a text) on each."""
    samples = []
    for number, name in enumerate(names):
        image = folder / name
        image.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(image)
        text = (RegionText("a dog", "described"),) if described else ()
        samples.append(
            Sample(image, str(number), (64, 64), (4, 4, 60, 60), text, name, "val", class_name="dog", photo=name)
        )
    write_samples(samples, folder / "samples.jsonl")
    return folder


def test_recognition_measures_what_the_predictor_answers(run: Run, coco_folder: Path, predictor: Predictor) -> None:
    found = values(run("recognition", classes=CLASSES, batch_size=2))
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
    expected = average_precision_score(np.array(labels)[known], np.array(scores)[known])
    assert metrics["details"]["AP by attribute"]["size:big/large"] == pytest.approx(100 * expected)
    assert {"mAP all", "mAP head", "mAP medium", "mAP tail", "chance mAP all"} == values(metrics).keys()


def listed_attributes(coco_folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change each entry of the data set's list of attributes."""
    file = coco_folder / "annotations/ovad.json"
    content = json.loads(file.read_text())
    for entry in content["attributes"]:
        change(entry)
    file.write_text(json.dumps(content))


def test_attributes_of_no_stated_frequency_are_measured_together(run: Run, coco_folder: Path) -> None:
    listed_attributes(coco_folder, lambda entry: entry.pop("freq_set"))
    assert values(run("attributes")).keys() == {"mAP all", "chance mAP all"}


@pytest.mark.parametrize("change", [{"name": "red"}, {"name": 5}, {"is_has_att": None}])
def test_a_list_that_is_not_ovads_is_refused_before_anything_is_asked(
    run: Run, coco_folder: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    listed_attributes(coco_folder, lambda entry: entry.update(change))
    with pytest.raises(InputError, match="take OVAD's own file"):
        run("attributes")
    assert not (tmp_path / "attributes").exists()


def test_a_run_leaves_predictions_metrics_and_a_report_that_say_how_they_came_to_be(run: Run, tmp_path: Path) -> None:
    metrics = run("attributes", views="random 2 views", seed=3)
    predictions = stored(tmp_path / "attributes")
    assert len(predictions) == 6
    assert all(len(prediction["t"]) == 1 for prediction in predictions.values())
    assert json.loads((tmp_path / "attributes/metrics.json").read_text()) == metrics
    assert metrics["views"] == "random 2 views"
    assert metrics["inference"]["device"] == "cpu"
    assert metrics["model_hash"] in (tmp_path / "attributes/report.md").read_text()


class StoppedError(Exception):
    """Somebody pulled the plug."""


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], contextlib.AbstractContextManager[object]]:
    """A context in which a run stops with StoppedError once so many batches are stored."""

    @contextlib.contextmanager
    def stopping(batches: int) -> Any:
        done = 0
        add = PredictionStore.add

        def add_and_stop(self: PredictionStore, *given: Any) -> None:
            nonlocal done
            add(self, *given)
            done += 1
            if done == batches:
                raise StoppedError

        with monkeypatch.context() as patch:
            patch.setattr(PredictionStore, "add", add_and_stop)
            yield

    return stopping


@pytest.mark.parametrize("views", ["dynamic 2 views", "random 2 views"])
def test_an_interrupted_run_goes_on_and_ends_as_an_undisturbed_one(
    run: Run,
    tmp_path: Path,
    views: str,
    stop_after: Callable[[int], contextlib.AbstractContextManager[object]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    undisturbed = run("attributes", out="undisturbed", views=views, batch_size=1)
    with stop_after(3), pytest.raises(StoppedError):
        run("attributes", out="interrupted", views=views, batch_size=1)
    resumed = run("attributes", out="interrupted", views=views, batch_size=1)
    assert "Going on after 3 stored predictions" in caplog.text
    found, expected = stored(tmp_path / "interrupted"), stored(tmp_path / "undisturbed")
    assert {key: record["t"] for key, record in found.items()} == {key: r["t"] for key, r in expected.items()}
    assert values(resumed) == pytest.approx(values(undisturbed), rel=1e-4)


def test_photographs_of_one_file_name_in_two_folders_are_two(run: Run, tmp_path: Path, predictor: Predictor) -> None:
    data = photographs(tmp_path / "cams", "cam1/1.png", "cam2/1.png")
    run("recognition", data=data, classes=CLASSES)
    found = {key.split()[0]: record["classes"] for key, record in stored(tmp_path / "recognition").items()}
    for name, scores in found.items():
        result = predictor.refer(data / name, (4, 4, 60, 60), classes=CLASSES, top_classes=None, captions=False)
        by_name = {entry.name: entry.score for entry in result.classes}
        assert scores == pytest.approx([by_name[c] for c in CLASSES], abs=1e-3)
    assert found.keys() == {"cam1/1.png", "cam2/1.png"}


def test_a_photograph_replaced_by_another_is_asked_about_again(run: Run, tmp_path: Path) -> None:
    data = photographs(tmp_path / "album", "1.png", "2.png")
    run("recognition", data=data, classes=CLASSES)
    before = stored(tmp_path / "recognition")
    Image.new("RGB", (64, 64), "red").save(data / "1.png")
    run("recognition", data=data, classes=CLASSES)
    after = stored(tmp_path / "recognition")
    assert {key for key in before if before[key]["classes"] != after[key]["classes"]} == {
        key for key in before if key.startswith("1.png")
    }


def test_a_damaged_photograph_costs_itself_alone_and_is_named(run: Run, coco_folder: Path, tmp_path: Path) -> None:
    (coco_folder / "images/000000000003.png").write_bytes(b"not a photograph")
    metrics = run("attributes")
    assert len(stored(tmp_path / "attributes")) == 5
    assert next(figure["count"] for figure in metrics["figures"]) == 5
    assert any("000000000003.png" in json.dumps(record) for record in metrics["left_out"])
    assert "000000000003.png" in (tmp_path / "attributes/report.md").read_text()


def test_a_photograph_damaged_after_its_samples_were_built_is_named_and_asked_when_mended(
    run: Run, tmp_path: Path
) -> None:
    data = photographs(tmp_path / "album", "1.png", "2.png")
    whole = (data / "2.png").read_bytes()
    (data / "2.png").write_bytes(whole[:200])
    (record,) = run("recognition", data=data, classes=CLASSES)["left_out"]
    assert (record["photograph"], record["annotation"]) == ("2.png", "2.png")
    (data / "2.png").write_bytes(whole)
    metrics = run("recognition", data=data, classes=CLASSES)
    assert metrics["left_out"] == []
    assert len(stored(tmp_path / "recognition")) == 2


def test_a_box_outside_its_photograph_costs_itself_alone(run: Run, tmp_path: Path) -> None:
    data = photographs(tmp_path / "album", "1.png", "2.png")
    lines = (data / "samples.jsonl").read_text().splitlines()
    outside = json.loads(lines[0]) | {"box": [100, 100, 120, 120], "sample_id": "far away"}
    (data / "samples.jsonl").write_text("\n".join([*lines, json.dumps(outside)]) + "\n")
    metrics = run("recognition", data=data, classes=CLASSES)
    assert [record["annotation"] for record in metrics["left_out"]] == ["far away"]
    assert len(stored(tmp_path / "recognition")) == 2


def test_boxes_of_another_size_than_the_photograph_are_scaled_to_it(
    run: Run, tmp_path: Path, predictor: Predictor
) -> None:
    data = photographs(tmp_path / "album", "1.png")
    record = json.loads((data / "samples.jsonl").read_text())
    twice = record | {"image_size": [128, 128], "box": [8, 8, 60, 120]}
    (data / "samples.jsonl").write_text(json.dumps(twice) + "\n")
    run("recognition", data=data, classes=CLASSES)
    (found,) = stored(tmp_path / "recognition").values()
    result = predictor.refer(data / "1.png", (4, 4, 30, 60), classes=CLASSES, top_classes=None, captions=False)
    scores = {entry.name: entry.score for entry in result.classes}
    assert found["classes"] == pytest.approx([scores[name] for name in CLASSES], abs=1e-3)


def test_boxes_that_a_reader_made_to_fit_are_said_to_be(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = photographs(tmp_path / "album", "1.png")
    (data / "samples.jsonl").unlink()
    image = {"id": 1, "file_name": "1.png", "width": 128, "height": 128}
    box = {"id": 1, "image_id": 1, "bbox": [8, 8, 52, 112], "category_id": 1}
    file = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": CLASSES[0]}]}
    (data / "val.json").write_text(json.dumps(file))
    run("recognition", data=data, classes=CLASSES)
    assert any("scaled" in message and "1.png" in message for message in caplog.messages)


def test_nothing_that_can_be_measured_is_one_sentence(run: Run, tmp_path: Path) -> None:
    data = photographs(tmp_path / "album", "1.png")
    (data / "1.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"Nothing could be measured.*1\.png"):
        run("recognition", data=data, classes=CLASSES)


def test_changed_views_start_anew_with_a_message(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run("attributes", views="t=0.3")
    run("attributes", views="t=0.5")
    assert "Starting anew, since views changed" in caplog.text


def test_rescore_needs_no_model_and_gives_the_same_figures(
    run: Run, coco_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (coco_folder / "images/000000000003.png").write_bytes(b"not a photograph")
    first = run("attributes")
    monkeypatch.delattr(Predictor, "from_pretrained")
    again = run("attributes", model=None, rescore=True)
    assert again == first


def test_rescore_refuses_regions_that_were_never_asked_about(run: Run, tmp_path: Path) -> None:
    data = photographs(tmp_path / "album", "1.png", "2.png")
    (data / "2.png").write_bytes(b"nothing")
    run("recognition", data=data, classes=CLASSES)
    photographs(data, "1.png", "2.png", "3.png", "4.png")
    with pytest.raises(InputError, match="2 regions have no prediction"):
        run("recognition", data=data, classes=CLASSES, rescore=True)


def test_rescore_refuses_predictions_of_another_model(run: Run, tiny_checkpoint: Path, tmp_path: Path) -> None:
    run("attributes")
    other = shutil.copytree(tiny_checkpoint, tmp_path / "other")
    (other / "vocabulary.json").write_text((other / "vocabulary.json").read_text() + "\n")
    with pytest.raises(InputError, match="of another model"):
        run("attributes", model=str(other), rescore=True)


@pytest.fixture
def one_java(meteor: Meteor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs use the Java that all tests share."""
    monkeypatch.setattr(runner, "Meteor", lambda: contextlib.nullcontext(meteor))


@pytest.mark.slow
@pytest.mark.usefixtures("one_java")
def test_captions_name_both_protocols_and_that_the_texts_are_not_by_people(run: Run, tmp_path: Path) -> None:
    metrics = run("captions", data=photographs(tmp_path / "album", "1.png", "2.png"))
    texts = "album val, texts written by an AI model"
    protocols = {figure["protocol"] for figure in metrics["figures"]}
    assert protocols == {f"{texts}, all regions", f"{texts}, one region an image"}
    worded = {"captions with a slip of grammar", "different captions", "right noun"}
    assert {"METEOR", "CIDEr"} | worded == values(metrics).keys()


def test_missing_java_stops_captions_before_any_inference(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = photographs(tmp_path / "album", "1.png")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="install a Java runtime"):
        run("captions", data=data)
    assert not (tmp_path / "captions").exists()


def test_the_ablation_has_every_mode_a_spread_of_chance_and_a_curve(run: Run, tmp_path: Path) -> None:
    metrics = run("ablation", data=photographs(tmp_path / "album", "1.png", "2.png", described=False), out="views")
    figures = {f["protocol"].split("; ")[1]: f for f in metrics["figures"] if f["metric"] == "accuracy"}
    assert list(figures)[:7] == [
        "1 view: the region",
        "2 views, fixed: the region and the whole image",
        "2 views, dynamic",
        "2 views, prior:caption",
        "2 views, prior:attributes",
        "2 views, random",
        "3 views, dynamic",
    ]
    assert {label for label, figure in figures.items() if figure["spread"] is not None} == {
        "2 views, random",
        "3 views, random",
    }
    best = next(figure["value"] for label, figure in figures.items() if label.startswith("2 views, best"))
    with (tmp_path / "views/curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["t"]) for row in rows] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert max(float(row["recognition: accuracy"]) for row in rows) == pytest.approx(best, abs=1e-3)
    assert (tmp_path / "views/curve.png").read_bytes().startswith(b"\x89PNG")


def test_modes_alone_need_no_curve(run: Run, tmp_path: Path, coco_folder: Path) -> None:
    metrics = run("ablation", modes_only=True, limit=2)
    assert not (tmp_path / "ablation/curve.csv").exists()
    assert {figure["metric"] for figure in metrics["figures"]} == {"accuracy", "mAP all"}


def test_the_table_of_runs_puts_the_authors_figures_beside_ours(run: Run, tmp_path: Path) -> None:
    run("attributes")
    run("recognition", classes=CLASSES)
    table = report([tmp_path / "attributes", tmp_path / "recognition"])
    row = next(line for line in table.splitlines() if "mAP all" in line and "chance" not in line)
    assert "29.2 on COCO val2017, box oracle (not comparable)" in row
    assert "tiny_coco val, box oracle" in row


@pytest.mark.parametrize(
    ("benchmark", "options", "message"),
    [
        ("segmentation", {}, "no benchmark 'segmentation'"),
        ("attributes", {"views": "nowhere"}, "is not understood"),
        ("attributes", {"views": "9 views"}, "number of views"),
        ("attributes", {"limit": 0}, "leaves nothing"),
        ("attributes", {"batch_size": 0}, "holds no region"),
        ("captions", {"min_area": 5}, "no share of a photograph"),
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
    assert any("000000000002.png" in json.dumps(record) for record in run("attributes")["left_out"])


def test_a_folder_without_a_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data folder"):
        run_benchmark("attributes", tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(InputError, match="no data set that is known"):
        run_benchmark("attributes", tmp_path, tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_found_before_the_model_is_loaded(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.delattr(Predictor, "from_pretrained")
    with pytest.raises(InputError, match="choose another --out"):
        run("attributes", out="taken")
