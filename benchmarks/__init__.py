"""What a person waits for, and what a crowd does to the page: `python -m benchmarks.latency`, `... .load`."""
