"""Convolutions and linear layers for inference on a processor: weights laid out once, and a convolution's padding and
activation inside the same oneDNN call.

PyTorch lays the weights out anew at every call, writes padded copies of the maps, and goes over the result once more
for the activation; its compiler avoids that with the same operators, but takes too long to start.
N views, C channels, D width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEWEST = 8  # outputs of a linear layer: with fewer, oneDNN's start costs more than the product


def can_pack(like: Tensor) -> bool:
    """Whether a network with parameters like this one can be packed: float32, on a processor, by PyTorch's oneDNN."""
    here = like.device.type == "cpu" and like.dtype == torch.float32
    return here and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def pack(network: nn.Module, dtype: torch.dtype) -> None:
    """Replace, in place, linear layers, RMS norms, and every convolution with the ReLU6 that is named behind it.

    Batch norms have been folded before. Arithmetic is in `dtype`, with sums in float32; linear layers give the format
    that they are given, convolutions `dtype`. The network can no longer be trained, saved or moved.
    """
    for module in list(network.modules()):
        for (name, layer), (behind, act) in pairwise([*module.named_children(), ("", nn.Identity())]):
            if isinstance(layer, nn.Linear) and layer.out_features >= FEWEST:
                setattr(module, name, PackedLinear(layer, dtype))
            elif isinstance(layer, nn.RMSNorm):
                setattr(module, name, RootMeanSquareNorm(layer))
            elif isinstance(layer, nn.Conv2d):
                setattr(module, name, PackedConv2d(layer, isinstance(act, nn.ReLU6), dtype))
                if isinstance(act, nn.ReLU6):
                    setattr(module, behind, nn.Identity())


class PackedLinear(nn.Module):
    """A linear layer."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.in_features, self.out_features, self.dtype = linear.in_features, linear.out_features, dtype
        self.bias = None if linear.bias is None else linear.bias.detach().to(dtype)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """x [.., D] -> [.., D']."""
        if x.dtype == self.dtype:
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        out = torch.ops.mkldnn._linear_pointwise(x.to(self.dtype), self.weight, self.bias, "none", [], "")
        return out.to(x.dtype)


class RootMeanSquareNorm(nn.Module):
    """`nn.RMSNorm` in a third of the time for the few rows of one caption."""

    def __init__(self, norm: nn.RMSNorm) -> None:
        super().__init__()
        assert norm.weight is not None and norm.eps is not None
        size = norm.weight.numel()
        self.scale, self.least = norm.weight.detach() * size**0.5, norm.eps * size

    def forward(self, x: Tensor) -> Tensor:
        """x [.., D]."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x * length.square_().add_(self.least).rsqrt_() * self.scale


class PackedConv2d(nn.Module):
    """A convolution on channels-last maps, with ReLU6 behind it or nothing.

    Args:
        conv: other classes than `nn.Conv2d` are those of stride 2 and odd kernels that pad as TensorFlow does; they
            take maps whose sides are both even or both odd.
    """

    def __init__(self, conv: nn.Conv2d, relu6: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.same, self.dtype = type(conv) is not nn.Conv2d, dtype
        assert not self.same or (conv.stride == (2, 2) and conv.kernel_size[0] % 2)
        self.stride, self.dilation, self.groups = conv.stride, conv.dilation, conv.groups
        self.padding = tuple(side // 2 for side in conv.kernel_size) if self.same else conv.padding
        self.weight = conv.weight.detach().to(dtype)
        self.bias = None if conv.bias is None else conv.bias.detach().to(dtype)
        self.behind = ("hardtanh", [0.0, 6.0], "") if relu6 else ("none", [], "")
        self._laid_out: dict[bool, Tensor] = {}  # weights as oneDNN wants them, for maps of even sides and of odd ones

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] -> [N, C', H', W']."""
        x = x.to(self.dtype)
        odd = self.same and bool(x.shape[-1] % 2)
        if odd not in self._laid_out:
            weight = self._padded(odd) if self.same else self.weight
            self._laid_out[odd] = torch.ops.mkldnn._reorder_convolution_weight(weight, *self._shape, x.shape)
            if not self.same:
                del self.weight
        return torch.ops.mkldnn._convolution_pointwise(x, self._laid_out[odd], self.bias, *self._shape, *self.behind)

    @property
    def _shape(self) -> tuple[Any, ...]:
        return self.padding, self.stride, self.dilation, self.groups

    def _padded(self, odd: bool) -> Tensor:
        """TensorFlow's padding as a kernel that goes with equal padding all around.

        Maps of even sides need k - 2 rows and columns, the smaller half first. A kernel of k + 1, with zeros in front,
        does that, and costs less than a padded copy of the maps.
        """
        return self.weight if odd else F.pad(self.weight, (1, 0, 1, 0))
