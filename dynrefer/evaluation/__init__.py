"""The paper's benchmarks, each asked through the same `Predictor` as the page."""

from dynrefer.evaluation.command import BENCHMARKS, BenchmarkOptions, run_benchmark
from dynrefer.evaluation.recognition import read_classes
from dynrefer.evaluation.report import report

__all__ = ["BENCHMARKS", "BenchmarkOptions", "read_classes", "report", "run_benchmark"]
