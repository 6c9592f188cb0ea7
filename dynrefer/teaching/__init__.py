"""A project's corrections teach the model: `python -m dynrefer teach PROJECT --out DIR`."""

from dynrefer.teaching.teach import teach

__all__ = ["teach"]
