"""DynRefer: point at a region of a photograph and read its caption, tags, attributes and class."""

from dynrefer.errors import InputError
from dynrefer.predictor import Predictor
from dynrefer.results import RegionResult

__all__ = ["InputError", "Predictor", "RegionResult"]
