"""DynRefer: point at a region of a photograph and read its caption, tags, attributes and class."""

import os
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

# How often a thread of the processor's looks whether there is more to do before it sleeps: GNU's OpenMP, which torch
# brings, reads it once. By default that is 300,000 times, for milliseconds, and two programs on the same cores keep
# each other waiting so that both are many times slower; 1,000 are what it takes itself where it knows of the others.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first asked for: the network's libraries take seconds."""
    if name not in _MODULES:
        raise AttributeError(f"module 'dynrefer' has no attribute {name!r}")
    return getattr(import_module(f"dynrefer.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
