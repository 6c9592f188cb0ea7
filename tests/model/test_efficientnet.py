"""EfficientNet-Lite gives the numbers of timm, under its names."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from dynrefer.model.config import EncoderConfig
from dynrefer.model.efficientnet import SCALES, EfficientNetLite
from dynrefer.model.encoder import EfficientNetEncoder


@pytest.mark.parametrize("name", list(SCALES))
def test_the_tensors_are_those_of_timm_in_its_order(name: str) -> None:
    with torch.device("meta"):
        theirs, ours = timm.create_model(name).state_dict(), EfficientNetLite(name).state_dict()
    assert [(key, value.shape) for key, value in ours.items()] == [(key, value.shape) for key, value in theirs.items()]


@torch.no_grad()
@pytest.mark.parametrize("size", [96, 101])  # strides that divide the photograph, and strides that do not
def test_the_logits_are_those_of_timm(size: int) -> None:
    theirs = timm.create_model("tf_efficientnet_lite2").eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.weight, 0.8, 1.2)
    ours = EfficientNetLite("tf_efficientnet_lite2").eval()
    ours.load_state_dict(theirs.state_dict())
    pixels = torch.randn(2, 3, size, size)
    expected = theirs(pixels)
    assert expected.std() > 1e-3
    torch.testing.assert_close(ours(pixels), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_another_efficientnet_comes_from_timm() -> None:
    encoder = EfficientNetEncoder(EncoderConfig(name="efficientnet_b0", width=16), text_width=8).eval()
    assert encoder(torch.zeros(1, 3, 64, 64)).shape == (1, 2 + 2 * 2 + 4 * 4, 16)
