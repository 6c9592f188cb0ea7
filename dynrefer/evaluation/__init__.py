"""The paper's benchmarks, each asked through the same `Predictor` as the page."""
