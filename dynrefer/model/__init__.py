"""The network: image encoder, alignment, resampler, three decoders. Nothing in here knows photographs' files or PIL."""

from dynrefer.model.config import ModelConfig
from dynrefer.model.dynrefer import DynRefer

__all__ = ["DynRefer", "ModelConfig"]
