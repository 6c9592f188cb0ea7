"""What a person waits for, and what a crowd does to the page: `python -m benchmarks.latency`, `... .load`."""

import dynrefer  # noqa: F401 - before torch, whose threads wait as the package says
