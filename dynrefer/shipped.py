"""Where the embedded model and the example photographs are."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """A folder that comes with DynRefer: in an installed wheel below the package, in a checkout beside it.

    Args:
        name: "checkpoints/dynrefer-mini" or "assets/examples".
    """
    inside = _PACKAGE / "_data" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
