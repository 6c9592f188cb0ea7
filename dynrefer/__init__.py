"""DynRefer: point at a region of a photograph and read its caption, tags, attributes and class."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dynrefer.errors import InputError
    from dynrefer.predictor import Predictor
    from dynrefer.proposals import BoxGrid, Proposal
    from dynrefer.results import RegionResult

__all__ = ["BoxGrid", "InputError", "Predictor", "Proposal", "RegionResult"]

_MODULES = {
    "BoxGrid": "proposals",
    "InputError": "errors",
    "Predictor": "predictor",
    "Proposal": "proposals",
    "RegionResult": "results",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first asked for: the network's libraries take seconds."""
    if name not in _MODULES:
        raise AttributeError(f"module 'dynrefer' has no attribute {name!r}")
    return getattr(import_module(f"dynrefer.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
