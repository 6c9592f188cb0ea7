"""A network packed for a processor answers as before; in bfloat16, within its precision."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dynrefer.model.efficientnet import SameConv2d
from dynrefer.model.packed import PackedConv2d, PackedLinear, can_pack, pack
from tests.tiny import tiny_model

pytestmark = pytest.mark.skipif(not can_pack(torch.zeros(1)), reason="PyTorch without oneDNN")


@torch.no_grad()
@pytest.mark.parametrize("kernel", [3, 5])
def test_maps_of_even_and_of_odd_sides_are_padded_as_before(kernel: int) -> None:
    conv = SameConv2d(8, 8, kernel, 2, groups=8)
    packed = PackedConv2d(conv, relu6=False, dtype=torch.float32)
    for sides in [(12, 12), (13, 13), (12, 20)]:
        maps = torch.randn(2, 8, *sides).contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(packed(maps), conv(maps), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_activation_behind_a_convolution_still_counts() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU6(), nn.Conv2d(4, 4, 1))
    maps = 20 * torch.randn(1, 3, 5, 5)
    expected = network(maps)
    pack(network, torch.float32)
    torch.testing.assert_close(network(maps), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("arithmetic", "off"), [(None, 1e-4), (torch.bfloat16, 0.05)])
def test_a_network_prepared_for_inference_answers_as_before(arithmetic: torch.dtype | None, off: float) -> None:
    before, after = tiny_model(), tiny_model()
    after.prepare_inference(arithmetic)
    pixels = torch.randint(0, 256, (6, 64, 64, 3), dtype=torch.uint8)
    tokens = [model.encode(model.normalize(pixels)) for model in (before, after)]
    assert tokens[1].dtype == torch.float32
    assert (tokens[1] - tokens[0]).norm() < off * tokens[0].norm()
    queries, texts = torch.randn(2, 4, 16), torch.randn(9, 16)
    summaries = torch.randn(2, 16)
    logits = [model.tag_logits(queries, texts, summaries) for model in (before, after)]
    assert (logits[1] - logits[0]).norm() < off * logits[0].norm()


@torch.no_grad()
def test_bfloat16_stays_within_its_precision_and_gives_back_the_format_it_got() -> None:
    linear = nn.Linear(64, 32)
    x = torch.randn(3, 7, 64)
    packed = PackedLinear(linear, torch.bfloat16)(x)
    assert packed.dtype == torch.float32
    torch.testing.assert_close(packed, linear(x), rtol=0.02, atol=0.02)
