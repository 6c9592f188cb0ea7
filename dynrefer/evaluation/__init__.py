"""The paper's benchmarks, each asked through the same `Predictor` as the page."""

from dynrefer.evaluation.command import BENCHMARKS, BenchmarkOptions, run_benchmark
from dynrefer.evaluation.report import report

__all__ = ["BENCHMARKS", "BenchmarkOptions", "report", "run_benchmark"]
