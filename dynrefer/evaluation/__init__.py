"""The paper's benchmarks, each asked through the same `Predictor` as the page."""

from dynrefer.evaluation.report import report
from dynrefer.evaluation.runner import BENCHMARKS, BenchmarkOptions, run_benchmark

__all__ = ["BENCHMARKS", "BenchmarkOptions", "report", "run_benchmark"]
