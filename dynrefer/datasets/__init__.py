"""Data sets, each read into the same `Sample`, and the texts and tags derived from them."""
