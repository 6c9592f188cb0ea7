"""EfficientNet-Lite in OpenVINO, where that is installed: the same arithmetic on a processor in less time.

The graph is built from the layers themselves, since OpenVINO's own conversion of a PyTorch network takes seconds.
N views, C channels, T tokens.
"""

from __future__ import annotations

import importlib
import logging
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dynrefer.model.efficientnet import Block, SameConv2d
from dynrefer.model.encoder import EfficientNetEncoder

FORMATS = {torch.float32: "f32", torch.bfloat16: "bf16"}


logger = logging.getLogger(__name__)


def openvino_encoder(encoder: EfficientNetEncoder, size: int, dtype: torch.dtype) -> OpenVINOEncoder | None:
    """See `OpenVINOEncoder`; None, with a warning, where it cannot run here."""
    try:
        return OpenVINOEncoder(encoder, size, dtype)
    except (ImportError, RuntimeError) as error:
        first = str(error).strip().partition("\n")[0]
        logger.warning("OpenVINO does not run here, so PyTorch encodes photographs, more slowly: %s", first)
        return None


class OpenVINOEncoder:
    """Calls in place of the encoder that it is given; it has weights of its own afterwards.

    Args:
        encoder: an EfficientNet-Lite of float32 on the CPU whose batch norms are folded.
        size: side of the square views, in pixels.
        dtype: number format of convolutions and products: float32, or bfloat16 where the processor has it.

    Raises ImportError without OpenVINO, and RuntimeError where it cannot run here.
    """

    def __init__(self, encoder: EfficientNetEncoder, size: int, dtype: torch.dtype = torch.float32) -> None:
        openvino = importlib.import_module("openvino")  # an extra, so that no list of requirements names it
        graph = _Graph(importlib.import_module("openvino.opset13"))
        pixels = graph.ops.parameter([-1, 3, size, size], np.float32)
        model = openvino.Model([graph.tokens(encoder, pixels)], [pixels], "encoder")
        options = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": FORMATS[dtype],
            "ENABLE_CPU_PINNING": False,
        }
        self._run: Any = openvino.Core().compile_model(model, "CPU", options)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalised views [N, 3, size, size] -> tokens [N, T, C], as `EfficientNetEncoder`."""
        return torch.from_numpy(self._run(pixels.contiguous().numpy())[0])


class _Graph:
    """Layers as nodes of a graph; `ops` makes nodes."""

    def __init__(self, ops: Any) -> None:
        self.ops = ops

    def tokens(self, encoder: EfficientNetEncoder, pixels: Any) -> Any:
        """Tokens [N, T, C] of views."""
        ops, backbone = self.ops, encoder.backbone
        coarse, fine = self.convolution(pixels, backbone.conv_stem, backbone.bn1), None
        for stage, blocks in enumerate(backbone.blocks):
            for block in blocks:
                coarse = self.block(coarse, block)
            if stage == encoder.STRIDE_16_STAGE:
                fine = coarse
        coarse = self.convolution(coarse, backbone.conv_head, backbone.bn2)
        pooled = ops.reduce_mean(coarse, np.array([2, 3]), keep_dims=False)
        probabilities = ops.softmax(self.linear(pooled, backbone.classifier), 1)
        meaning = ops.matmul(probabilities, _array(20 * encoder.class_embeddings), False, False)
        tokens = [
            self.norm(self.linear(pooled, encoder.project_pooled), encoder.pooled_norm),
            self.norm(self.linear(meaning, encoder.project_semantic), encoder.semantic_norm),
        ]
        tokens = [ops.unsqueeze(token, np.array(1)) for token in tokens]
        if encoder.belief_tokens:
            width = encoder.project_pooled.out_features
            missing = encoder.belief_tokens * width - encoder.class_embeddings.shape[0]
            filled = ops.pad(probabilities, np.array([0, 0]), np.array([0, missing]), "constant", np.float32(0))
            tokens.append(ops.reshape(filled, np.array([0, encoder.belief_tokens, width]), True))
        for level, projection in ((coarse, encoder.project_coarse), (fine, encoder.project_fine)):
            rows = ops.reshape(level, np.array([0, 0, -1]), True)
            tokens.append(self.linear(ops.transpose(rows, np.array([0, 2, 1])), projection))
        return ops.concat(tokens, 1)

    def block(self, x: Any, block: Block) -> Any:
        """One of the backbone's blocks."""
        y = x
        for conv, act in pairwise(block.children()):
            if isinstance(conv, nn.Conv2d):
                y = self.convolution(y, conv, act)
        return self.ops.add(x, y) if block.residual else y

    def convolution(self, x: Any, conv: nn.Conv2d, act: nn.Module) -> Any:
        """A convolution whose batch norm is folded, and ReLU6 where that is behind it."""
        begin = end = np.array(conv.padding)
        if isinstance(conv, SameConv2d):
            sides = [x.get_output_partial_shape(0)[axis].get_length() for axis in (2, 3)]
            missing = np.array(conv.missing(sides))
            begin, end = missing // 2, missing - missing // 2
        weight, groups = _array(conv.weight), conv.groups
        shape = (np.array(conv.stride), begin, end, np.array(conv.dilation))
        if groups == 1:
            y = self.ops.convolution(x, weight, *shape)
        else:
            y = self.ops.group_convolution(x, weight.reshape(groups, -1, *weight.shape[1:]), *shape)
        if conv.bias is not None:
            y = self.ops.add(y, _array(conv.bias).reshape(1, -1, 1, 1))
        return self.ops.clamp(y, 0.0, 6.0) if isinstance(act, nn.ReLU6) else y

    def linear(self, x: Any, linear: nn.Linear) -> Any:
        """A linear layer."""
        return self.ops.add(self.ops.matmul(x, _array(linear.weight), False, True), _array(linear.bias))

    def norm(self, x: Any, norm: nn.LayerNorm) -> Any:
        """A layer norm over the last axis."""
        y = self.ops.mvn(x, np.array([-1]), True, norm.eps, "inside_sqrt")
        return self.ops.add(self.ops.multiply(y, _array(norm.weight)), _array(norm.bias))


def _array(tensor: Tensor | None) -> np.ndarray:
    assert tensor is not None
    return tensor.detach().contiguous().numpy()
