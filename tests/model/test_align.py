"""RoIAlign, deformable alignment and fusion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision import ops

from dynrefer.model.align import RegionAlign, deformable_sample, roi_align
from tests.tiny import TINY

FACTS = Path(__file__).parents[1] / "official" / "facts"


def sets(offsets: Tensor, weights: Tensor, padding: int = 0) -> Tensor:
    """offsets [N, H, W, groups, 9, 2] and weights [N, H, W, groups, 9] in the operator's layout."""
    packed = torch.cat([offsets.flatten(4), weights], -1).flatten(3)
    return F.pad(packed, (0, padding))


def slow_sample(value: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    """The definition, point by point, for one map [H, W, C] and one group."""
    height, width, channels = value.shape
    out = torch.zeros(height, width, channels)
    for y in range(height):
        for x in range(width):
            for k in range(9):
                px, py = x + k // 3 - 1 + float(offsets[y, x, k, 0]), y + k % 3 - 1 + float(offsets[y, x, k, 1])
                left, top = int(np.floor(px)), int(np.floor(py))
                for cy, cx in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
                    if 0 <= cy < height and 0 <= cx < width:
                        share = (1 - abs(px - cx)) * (1 - abs(py - cy))
                        out[y, x] += float(weights[y, x, k]) * share * value[cy, cx]
    return out


@pytest.mark.parametrize("aligned", [False, True])
@given(
    seed=st.integers(0, 2**20),
    corners=st.tuples(*[st.sampled_from([-20.0, -1.0, 0.0, 3.3, 17.0, 40.0]) for _ in range(4)]),
)
def test_regions_are_cut_as_torchvision_cuts_them(seed: int, corners: tuple[float, ...], aligned: bool) -> None:
    maps = torch.randn(2, 5, 6, 3, generator=torch.Generator().manual_seed(seed))
    (x, y), (width, height) = corners[:2], corners[2:]
    boxes = torch.tensor([[x, y, x + abs(width), y + abs(height)], [1.0, 2.0, 9.0, 7.0]])
    theirs = ops.roi_align(maps.permute(0, 3, 1, 2), list(boxes[:, None]), 4, 0.25, sampling_ratio=2, aligned=aligned)
    ours = roi_align(maps, boxes, 4, 0.25, aligned)
    torch.testing.assert_close(ours, theirs.permute(0, 2, 3, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", ["small_0.5", "small_3.0"])
def test_sampling_answers_as_the_cuda_operator_does(case: str) -> None:
    data = np.load(FACTS / "deformable.npz")
    value, packed, theirs = (torch.from_numpy(data[f"{case}_{part}"]) for part in ("x", "om", "y"))
    torch.testing.assert_close(deformable_sample(value, packed, 4), theirs, rtol=1e-5, atol=1e-5)


@given(seed=st.integers(0, 2**20), spread=st.sampled_from([0.3, 2.0, 6.0]))
def test_sampling_is_the_sum_over_bilinear_points_with_zeros_outside(seed: int, spread: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    value = torch.randn(1, 4, 5, 6, generator=generator)
    offsets = spread * torch.randn(1, 4, 5, 2, 9, 2, generator=generator)
    weights = torch.randn(1, 4, 5, 2, 9, generator=generator)
    ours = deformable_sample(value, sets(offsets, weights, padding=2), 2)[0]
    for group, channels in enumerate((slice(0, 3), slice(3, 6))):
        slow = slow_sample(value[0, :, :, channels], offsets[0, :, :, group], weights[0, :, :, group])
        torch.testing.assert_close(ours[..., channels], slow, rtol=1e-4, atol=1e-4)


def test_without_offsets_sampling_is_a_plain_convolution() -> None:
    value = torch.randn(2, 5, 6, 8)
    kernel = torch.randn(9)
    weights = kernel.expand(2, 5, 6, 4, 9)
    ours = deformable_sample(value, sets(torch.zeros(2, 5, 6, 4, 9, 2), weights), 4)
    image = kernel.view(3, 3).T.expand(8, 1, 3, 3)  # the points run x-major, an image's rows along y
    plain = F.conv2d(value.permute(0, 3, 1, 2), image, padding=1, groups=8).permute(0, 2, 3, 1)
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)


def test_alignment_starts_as_two_projections_of_the_centre() -> None:
    deform = RegionAlign(TINY.align, TINY.encoder, 3).deform
    assert deform is not None
    target, reference = torch.randn(2, 7, 7, 16), torch.randn(2, 7, 7, 16)
    centre = deform.output_proj(deform.value_proj(target))
    torch.testing.assert_close(deform(target, reference), target + centre, rtol=1e-4, atol=1e-5)


def test_the_offsets_come_from_both_views() -> None:
    deform = RegionAlign(TINY.align, TINY.encoder, 3).deform
    assert deform is not None
    torch.nn.init.normal_(deform.offset_mask.weight, std=0.5)
    target, reference = torch.randn(1, 7, 7, 16), torch.randn(1, 7, 7, 16)
    assert not torch.allclose(deform(target, reference), deform(target, torch.randn(1, 7, 7, 16)))


def test_the_first_view_is_the_reference_and_stays_as_it_is() -> None:
    config = replace(TINY.align, norm=False, geometry=False)
    align = RegionAlign(config, TINY.encoder, 2)
    seen: list[Tensor] = []
    align.fuse.register_forward_hook(lambda _module, given, _out: seen.append(given[0]))
    cuts = torch.randn(2, 2 + 49, 16)
    align(cuts)
    torch.testing.assert_close(seen[0][0, :, :16], cuts[0])
    assert not torch.allclose(seen[0][0, 2:, 16:], cuts[1, 2:])


def test_a_box_of_the_whole_view_cuts_out_the_whole_map() -> None:
    config = replace(TINY, align=replace(TINY.align, output_size=7, roi_aligned=False))
    encoder = replace(config.encoder, grids=(7,), global_tokens=1, image_size=224)
    align = RegionAlign(config.align, encoder, 1)
    ramp = torch.arange(7.0).view(1, 7, 1).expand(7, 7, 16).reshape(1, 49, 16)  # value = column
    cut = align.cut(torch.cat([torch.zeros(1, 1, 16), ramp], 1), torch.tensor([[0.0, 0.0, 224.0, 224.0]]))
    columns = cut[0, 1:].view(7, 7, 16)[3, :, 0]
    expected = torch.tensor([0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.0])  # pixel centres sit on whole numbers here
    torch.testing.assert_close(columns, expected, atol=0.13, rtol=0)


def test_cutting_many_views_in_half_precision_takes_each_from_its_own_view() -> None:
    align = RegionAlign(TINY.align, replace(TINY.encoder, grids=(7,), global_tokens=1, image_size=224), 1)
    views = 2060  # float16 and bfloat16 cannot tell 2,049 from 2,048
    tokens = torch.arange(views).remainder(64).float()[:, None, None].expand(views, 50, 16).to(torch.bfloat16)
    cut = align.cut(tokens, torch.tensor([[32.0, 32.0, 160.0, 160.0]]).expand(views, 4))
    assert torch.equal(cut, tokens)
