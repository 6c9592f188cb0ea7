"""Views at inference: the rows of the paper's Tab. 5 that need no retraining, and the curve of Fig. 4."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dynrefer.evaluation.benchmark import Benchmark, Figure
from dynrefer.evaluation.report import figures_of, write_report
from dynrefer.evaluation.runner import Asking, Say, run
from dynrefer.evaluation.store import write_atomically
from dynrefer.evaluation.view_request import ViewRequest
from dynrefer.predictor import Predictor
from dynrefer.views import CANDIDATES

HEADLINES = {"recognition": "accuracy", "attributes": "mAP all", "captions": "CIDEr"}
_NOTES = (
    "'Best' views are chosen on the very regions they are scored on, the third one after the second (greedily): "
    "an upper bound, not a result that a user would get.",
    "The curve of two views, t = 0 and one more, is in curve.csv and curve.png (the paper's Fig. 4).",
)


@dataclass(frozen=True)
class _Row:
    """A choice of views, what it is called, and what it reached."""

    label: str
    views: ViewRequest
    figure: Figure
    metrics: Mapping[str, Any]


def run_ablation(
    benchmarks: Sequence[Benchmark], predictor: Predictor, asking: Asking, out: Path, say: Say = print
) -> dict[str, Any]:
    """Run every benchmark with one, two and (where the model has them) three views, chosen in different ways.

    Each choice has a folder of its own under `out`, and can be interrupted and gone on with like any run. Writes
    `metrics.json`, `report.md`, `curve.csv` and `curve.png`.

    Returns:
        The content of `metrics.json`.
    """
    rows: list[_Row] = []
    curves: dict[str, list[float]] = {}
    for benchmark in benchmarks:
        attempt = _Attempt(benchmark, predictor, asking, out, say)
        curve = [attempt(f"t = {t:g}", ViewRequest(coefficients=(0.0, t))) for t in CANDIDATES]
        curves[f"{benchmark.name}: {HEADLINES[benchmark.name]}"] = [row.figure.value for row in curve]
        rows += _rows(attempt, curve)
    write_atomically(out / "curve.csv", _csv(curves))
    _plot(curves, out / "curve.png")
    metrics = _merged(rows)
    write_atomically(out / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    write_report(out, metrics, _NOTES)
    return metrics


@dataclass(frozen=True)
class _Attempt:
    """Runs one benchmark with some choice of views."""

    benchmark: Benchmark
    predictor: Predictor
    asking: Asking
    out: Path
    say: Say

    def __call__(self, label: str, views: ViewRequest) -> _Row:
        folder = self.out / self.benchmark.name / str(views).replace(" ", "-").replace("=", "").replace(",", "-")
        metrics = run(self.benchmark, self.predictor, replace(self.asking, views=views), folder, self.say)
        wanted = HEADLINES[self.benchmark.name]
        figure = next(figure for figure in figures_of(metrics) if figure.metric == wanted)
        self.say(f"{self.benchmark.name}, {label}: {wanted} {figure.value:.1f}")
        return _Row(label, views, figure, metrics)


def _rows(attempt: _Attempt, curve: Sequence[_Row]) -> Iterator[_Row]:
    """The rows of Tab. 5 for one benchmark."""
    yield attempt("1 view: the region", ViewRequest(coefficients=(0.0,)))
    yield replace(curve[-1], label="2 views, fixed: the region and the whole image")
    for number in range(2, min(3, attempt.predictor.num_views) + 1):
        for mode in ("random", "dynamic"):
            yield attempt(f"{number} views, {mode}", ViewRequest(mode=mode, num_views=number))
    best = max(curve, key=lambda row: row.figure.value)
    yield replace(best, label=f"2 views, best: {best.views}")
    if attempt.predictor.num_views >= 3:
        chosen = best.views.coefficients or ()
        thirds = [t for t in CANDIDATES if t not in chosen]
        tried = [attempt(f"t = {chosen[-1]:g} and {t:g}", ViewRequest(coefficients=(*chosen, t))) for t in thirds]
        best = max(tried, key=lambda row: row.figure.value)
        yield replace(best, label=f"3 views, best: {best.views}")


def _merged(rows: Sequence[_Row]) -> dict[str, Any]:
    """One `metrics.json` for all rows: what they share, the seconds together, and a figure each."""
    shared = dict(rows[0].metrics)
    seconds = sum(row.metrics["inference"]["seconds"] for row in rows)
    regions = sum(row.figure.count for row in rows)
    named = [replace(row.figure, protocol=f"{row.figure.protocol}; {row.label}") for row in rows]
    return shared | {
        "benchmark": "ablation",
        "views": "see the protocols",
        "question": {},
        "figures": [asdict(figure) for figure in named],
        "details": {row.label: row.metrics["details"]["share of regions looked at from t"] for row in rows},
        "inference": shared["inference"]
        | {"seconds": round(seconds, 2), "regions_per_second": round(regions / max(seconds, 1e-9), 2)},
    }


def _csv(curves: Mapping[str, Sequence[float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["t", *curves])
    for number, t in enumerate(CANDIDATES):
        writer.writerow([t, *(round(values[number], 3) for values in curves.values())])
    return text.getvalue()


def _plot(curves: Mapping[str, Sequence[float]], file: Path) -> None:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(4 * len(curves), 3), layout="constrained")
    for axes, (name, values) in zip(canvas.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        axes.plot(CANDIDATES, values, marker="o")
        axes.set(title=name, xlabel="t of the second view", xticks=CANDIDATES)
        axes.grid(alpha=0.3)
    canvas.savefig(file, dpi=120)
