"""A project's corrections teach the model: `python -m dynrefer teach PROJECT --out DIR`."""
