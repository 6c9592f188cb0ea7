"""Tables of runs: the authors' figures beside ours, protocols apart."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from dynrefer import InputError
from dynrefer.evaluation.benchmark import Figure
from dynrefer.evaluation.report import report


def finished_run(folder: Path, benchmark: str, figure: Figure) -> Path:
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps({"benchmark": benchmark, "figures": [asdict(figure)]}))
    return folder


def cells(table: str) -> list[dict[str, str]]:
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_the_same_data_and_protocol_stand_beside_the_authors_figure(tmp_path: Path) -> None:
    figure = Figure("Visual Genome v1.2 test, one region an image", "METEOR", 12.34, 5000)
    (row,) = cells(report([finished_run(tmp_path / "mine", "captions", figure)]))
    assert (row["Run"], row["Ours"], row["Paper"], row["Measured on"]) == ("mine", "12.3", "21.2", "5,000 regions")


@pytest.mark.parametrize("protocol", ["Visual Genome v1.0 test, true boxes", "mini val, true boxes"])
def test_other_data_is_said_not_to_be_comparable(tmp_path: Path, protocol: str) -> None:
    figure = Figure(protocol, "mAP", 9.0, 10, "photographs")
    (row,) = cells(report([finished_run(tmp_path / "mine", "dense-captions", figure)]))
    assert row["Paper"] == "47.6 on Visual Genome v1.2 test, true boxes (not comparable)"


def test_figures_on_detected_boxes_have_columns_of_their_own(tmp_path: Path) -> None:
    runs = [
        finished_run(tmp_path / "true", "dense-captions", Figure("VG-COCO test, true boxes", "mAP", 40.0, 10)),
        finished_run(
            tmp_path / "detected",
            "dense-captions",
            Figure("VG-COCO test, detected boxes", "mAP", 15.0, 10, detector=True),
        ),
    ]
    on_true, on_detected = cells(report(runs))
    assert (on_true["Ours"], on_true["Ours, detected boxes"]) == ("40.0", "")
    assert (on_detected["Ours"], on_detected["Ours, detected boxes"]) == ("", "15.0")
    assert on_detected["Paper"] == ""


def test_folders_without_metrics_are_passed_over_unless_none_has_any(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "mine", "recognition", Figure("mini val, true boxes", "accuracy", 80.0, 10))
    (tmp_path / "empty").mkdir()
    assert [row["Run"] for row in cells(report([tmp_path / "empty", run]))] == ["mine"]
    with pytest.raises(InputError, match=r"No metrics\.json"):
        report([tmp_path / "empty"])


def test_a_metrics_file_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"accuracy": 1}')
    with pytest.raises(InputError, match="not a metrics file"):
        report([tmp_path])


def test_runs_of_one_folder_name_both_have_their_rows(tmp_path: Path) -> None:
    figure = Figure("mini val, true boxes", "accuracy", 80.0, 10)
    folders = []
    for parent in ("first", "second"):
        (tmp_path / parent).mkdir()
        folders.append(finished_run(tmp_path / parent / "recognition", "recognition", figure))
    assert [row["Run"] for row in cells(report(folders))] == [str(folder) for folder in folders]


def test_a_spread_stands_behind_its_figure(tmp_path: Path) -> None:
    figure = Figure("mini val; 2 views, random", "CIDEr", 40.0, 10, spread=0.62)
    (row,) = cells(report([finished_run(tmp_path / "mine", "captions", figure)]))
    assert row["Ours"] == "40.0 ± 0.6"
