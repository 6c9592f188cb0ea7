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

# How often an idle thread of the processor's looks for more to do before it sleeps; GNU's OpenMP, which torch brings,
# reads it once. By default it looks 300,000 times, for milliseconds, so that two programs on the same cores keep each
# other from working and take 5 to 20 times as long; with this they take some four times as long (and half as long again
# where each then computes on one core, see `ComputingThread`), and with fewer looks a single program loses a tenth.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")

# How many layers are kept compiled, each for one shape of its input, by oneDNN and by what torch calls it with; both
# read it once. Each takes a quarter of a megabyte in either. By default both keep 1,024, half a gigabyte in the end,
# since the numbers of regions and of words vary; a photograph and its regions need some 300.
for _cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_cache, "512")


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first asked for: the network's libraries take seconds."""
    if name not in _MODULES:
        raise AttributeError(f"module 'dynrefer' has no attribute {name!r}")
    return getattr(import_module(f"dynrefer.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
