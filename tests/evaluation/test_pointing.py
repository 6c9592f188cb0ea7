"""Clicks and proposals measured on a tiny data set, by a stand-in that knows the boxes and by the tiny random model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynrefer import InputError, Proposal
from dynrefer.datasets.sample import RegionText
from dynrefer.evaluation.benchmark import load_data
from dynrefer.evaluation.pointing import click, pointing, proposals, write_proposals
from dynrefer.evaluation.runner import BenchmarkOptions, run_benchmark
from tests.evaluation.conftest import BOXES


class Knowing:
    """Proposes the true boxes of the photographs in their order, the smallest that holds a point first."""

    def __init__(self, per_photograph: int = 100) -> None:
        known = [[(x, y, x + w, y + h) for _, (x, y, w, h), _ in boxes] for boxes in BOXES.values()]
        self.boxes, self.most, self.opened = known, per_photograph, {}  # type: ignore[var-annotated]

    def propose(self, photo: Any, point: Any = None, limit: int = 20) -> list[Proposal]:
        boxes = self.boxes[self.opened.setdefault(photo.digest, len(self.opened))]
        if point is not None:
            boxes = [b for b in boxes if b[0] <= point[0] <= b[2] and b[1] <= point[1] <= b[3]]
        return [Proposal(box, 1.0) for box in sorted(boxes)[: min(limit, self.most)]]

    def box_grid(self, photo: Any) -> None:
        self.propose(photo)


def figures(measured: Any) -> dict[str, float]:
    return {figure.metric: figure.value for figure in measured.scores.figures}


def test_who_takes_every_box_that_was_clicked_has_full_marks(coco_folder: Path) -> None:
    found = pointing(load_data(coco_folder), Knowing(), None, 0)  # type: ignore[arg-type]
    assert figures(found) == {"mean IoU": pytest.approx(100), "IoU >= 0.5": 100}
    assert sum(row["clicks"] for row in found.scores.details["By the box's share of the photograph"]) == 6


def test_a_box_that_is_not_proposed_counts_against_recall(coco_folder: Path) -> None:
    all_found = figures(proposals(load_data(coco_folder), Knowing(), None, 0))  # type: ignore[arg-type]
    assert set(all_found.values()) == {100}
    one_each = figures(proposals(load_data(coco_folder), Knowing(1), None, 0))  # type: ignore[arg-type]
    assert one_each["recall of 6 proposals"] == pytest.approx(100 * 4 / 6)


def test_clicks_lie_in_the_middle_half_and_come_again_with_their_seed() -> None:
    box = (20.0, 40.0, 60.0, 48.0)
    clicks = np.array([click(box, str(seed)) for seed in range(300)])
    assert clicks.min(0) == pytest.approx((30, 42), abs=0.3) and clicks.max(0) == pytest.approx((50, 46), abs=0.3)
    assert click(box, "7") == click(box, "7") != click(box, "8")


@pytest.mark.parametrize("name", ["pointing", "proposals"])
def test_a_run_writes_figures_and_a_report(name: str, coco_folder: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    metrics = run_benchmark(name, coco_folder, tmp_path / "run", BenchmarkOptions(model=str(tiny_checkpoint)))
    assert metrics["figures"] == json.loads((tmp_path / "run" / "metrics.json").read_text())["figures"]
    assert all(0 <= figure["value"] <= 100 for figure in metrics["figures"])
    assert "boxes above 1%" in (tmp_path / "run" / "report.md").read_text()


def test_own_proposals_are_a_detectors_results_on_photographs_with_captions(coco_folder: Path, tmp_path: Path) -> None:
    loaded = load_data(coco_folder)
    told = [replace(s, texts=(RegionText("a dog", "human"),)) for s in loaded.samples]
    write_proposals(replace(loaded, samples=told), Knowing(), tmp_path / "found.json", 2)  # type: ignore[arg-type]
    found = json.loads((tmp_path / "found.json").read_text())
    assert {entry["image_id"] for entry in found} == {"1", "2"}
    assert [90, 50, 20, 20] in [entry["bbox"] for entry in found]
    write_proposals(loaded, Knowing(), tmp_path / "none.json")  # type: ignore[arg-type]
    assert (tmp_path / "none.json").read_text() == "[]\n"


def test_there_is_nothing_to_rescore(coco_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="keeps no predictions"):
        run_benchmark("pointing", coco_folder, tmp_path / "run", BenchmarkOptions(rescore=True))
