"""Views at inference: the rows of the paper's Tab. 5 that need no retraining, and the curve of Fig. 4."""

import csv
import io
import json
import logging
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dynrefer.evaluation.benchmark import Benchmark, Figure
from dynrefer.evaluation.report import figures_of, write_report
from dynrefer.evaluation.scoring import Asking, run, speed, views_in_words
from dynrefer.files.atomic import write_whole
from dynrefer.predictor import Predictor
from dynrefer.question import MODES
from dynrefer.views import CANDIDATES

logger = logging.getLogger(__name__)

HEADLINES = {"recognition": "accuracy", "attributes": "mAP all", "captions": "CIDEr"}
RANDOM_SEEDS = 3
_RANDOM_NOTE = f"Random views are asked {RANDOM_SEEDS} times with other seeds: mean and standard deviation."
_CURVE_NOTES = (
    "'Best' views are chosen on the very regions they are scored on, the third one after the second (greedily): "
    "an upper bound, not a result that a user would get.",
    "The curve of two views, t = 0 and one more, is in curve.csv and curve.png (the paper's Fig. 4).",
)


@dataclass(frozen=True)
class _Row:
    """A choice of views, what it is called, and what it reached; of a run's metrics only what the table says."""

    label: str
    views: Mapping[str, Any]
    figure: Figure
    taken: Mapping[str, float]
    seconds: float


def run_ablation(
    benchmarks: Sequence[Benchmark], predictor: Predictor, asking: Asking, out: Path, modes_only: bool = False
) -> dict[str, Any]:
    """Run every benchmark with one, two and (where the model has them) three views, chosen in different ways.

    Each choice has a folder of its own under `out`, and can be interrupted and gone on with like any run. Writes
    `metrics.json` and `report.md` and, unless only the modes of selection are compared, `curve.csv` and `curve.png`.

    Returns:
        The content of `metrics.json`.
    """
    rows: list[_Row] = []
    curves: dict[str, list[float]] = {}
    runs = _Runs(predictor, asking, out)
    for benchmark in benchmarks:
        found = list(_modes(runs, benchmark))
        if not modes_only:
            curve = [runs(benchmark, f"t = {t:g}", {"coefficients": (0.0, t)}) for t in CANDIDATES]
            curves[f"{benchmark.name}: {HEADLINES[benchmark.name]}"] = [row.figure.value for row in curve]
            found += _best(runs, benchmark, curve)
        rows += found
    if curves:
        write_whole(out / "curve.csv", _csv(curves))
        write_whole(out / "curve.png", _plot(curves))
    metrics = _merged(rows, runs)
    write_whole(out / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    write_report(out, metrics, (_RANDOM_NOTE, *(() if modes_only else _CURVE_NOTES)))
    return metrics


class _Runs:
    """Runs benchmarks with some choice of views; keeps what all runs share and what any of them left out."""

    def __init__(self, predictor: Predictor, asking: Asking, out: Path) -> None:
        self.predictor, self.asking, self.out = predictor, asking, out
        self.shared: dict[str, Any] = {}
        self.left_out: dict[tuple[str, ...], dict[str, str]] = {}

    def __call__(self, benchmark: Benchmark, label: str, views: Mapping[str, Any], seed: int | None = None) -> _Row:
        words = views_in_words(views)
        folder = words.replace(" ", "-").replace("=", "").replace(",", "-").replace(":", "-")
        asking = replace(self.asking, views=views)
        if seed is not None:
            folder, asking = f"{folder}-seed-{seed}", replace(asking, seed=seed)
        metrics = run(benchmark, self.predictor, asking, self.out / benchmark.name / folder, plots=False)
        wanted = HEADLINES[benchmark.name]
        figure = next(figure for figure in figures_of(metrics) if figure.metric == wanted)
        logger.info("%s, %s: %s %.1f", benchmark.name, label, wanted, figure.value)
        self.shared = {name: value for name, value in metrics.items() if name not in ("figures", "details")}
        self.left_out |= {tuple(record.values()): record for record in metrics["left_out"]}
        taken = metrics["details"]["share of regions looked at from t"]
        return _Row(label, views, figure, taken, metrics["inference"]["seconds"])


def _modes(runs: _Runs, benchmark: Benchmark) -> Iterator[_Row]:
    """The region alone, fixed views, and every mode of selection; those by chance several times."""
    yield runs(benchmark, "1 view: the region", {"coefficients": (0.0,)})
    yield runs(benchmark, "2 views, fixed: the region and the whole image", {"coefficients": (0.0, 1.0)})
    for number in range(2, min(3, runs.predictor.num_views) + 1):
        for mode in MODES:
            views, label = {"mode": mode, "num_views": number}, f"{number} views, {mode}"
            if mode == "random":
                seeds = range(runs.asking.seed, runs.asking.seed + RANDOM_SEEDS)
                yield _mean([runs(benchmark, f"{label}, seed {seed}", views, seed) for seed in seeds], label)
            elif mode != "manual":
                yield runs(benchmark, label, views)


def _mean(rows: Sequence[_Row], label: str) -> _Row:
    values = [row.figure.value for row in rows]
    figure = replace(rows[0].figure, value=statistics.mean(values), spread=statistics.stdev(values))
    return replace(rows[0], label=label, figure=figure, seconds=sum(row.seconds for row in rows))


def _best(runs: _Runs, benchmark: Benchmark, curve: Sequence[_Row]) -> Iterator[_Row]:
    """The best fixed second view, and beside it the best third one."""
    best = max(curve, key=lambda row: row.figure.value)
    yield replace(best, label=f"2 views, best: {views_in_words(best.views)}")
    if runs.predictor.num_views >= 3:
        chosen = best.views["coefficients"]
        thirds = [t for t in CANDIDATES if t not in chosen]
        tried = [runs(benchmark, f"t = {chosen[-1]:g} and {t:g}", {"coefficients": (*chosen, t)}) for t in thirds]
        best = max(tried, key=lambda row: row.figure.value)
        yield replace(best, label=f"3 views, best: {views_in_words(best.views)}")


def _merged(rows: Sequence[_Row], runs: _Runs) -> dict[str, Any]:
    """One `metrics.json` for all rows: what they share, the seconds together, and a figure each."""
    seconds = sum(row.seconds for row in rows)
    regions = sum(row.figure.count * (RANDOM_SEEDS if row.figure.spread is not None else 1) for row in rows)
    named = [replace(row.figure, protocol=f"{row.figure.protocol}; {row.label}") for row in rows]
    return runs.shared | {
        "benchmark": "ablation",
        "views": "see the protocols",
        "question": {},
        "figures": [asdict(figure) for figure in named],
        "details": {f"{row.figure.metric}: {row.label}, share of regions looked at from t": row.taken for row in rows},
        "left_out": list(runs.left_out.values()),
        "inference": runs.shared["inference"] | speed(regions, seconds),
    }


def _csv(curves: Mapping[str, Sequence[float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["t", *curves])
    for number, t in enumerate(CANDIDATES):
        writer.writerow([t, *(round(values[number], 3) for values in curves.values())])
    return text.getvalue()


def _plot(curves: Mapping[str, Sequence[float]]) -> bytes:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(4 * len(curves), 3), layout="constrained")
    for axes, (name, values) in zip(canvas.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        axes.plot(CANDIDATES, values, marker="o")
        axes.set(title=name, xlabel="t of the second view", xticks=CANDIDATES)
        axes.grid(alpha=0.3)
    file = io.BytesIO()
    canvas.savefig(file, format="png", dpi=120)
    return file.getvalue()
