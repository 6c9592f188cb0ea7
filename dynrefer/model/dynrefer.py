"""The whole network: views -> tokens -> fused tokens -> queries -> tags, attributes and classes, caption.

S regions, V views a region, T tokens a view, C channels, Q queries, D their width, E text width, N tags.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dynrefer.model.align import RegionAlign
from dynrefer.model.config import CLASSES, ModelConfig
from dynrefer.model.encoder import EfficientNetEncoder, build_encoder
from dynrefer.model.language import LanguageDecoder
from dynrefer.model.packed import can_pack, pack
from dynrefer.model.pointing import PointingHead
from dynrefer.model.query_decoder import ClassifierNames, QueryDecoder, TextQueries
from dynrefer.model.resampler import RegionSummary, Resampler
from dynrefer.model.text_encoder import TextEncoder


class DynRefer(nn.Module):
    """Dynamic-resolution region understanding (Zhao et al., CVPR 2025).

    Args:
        config: sizes; see `ModelConfig`.
        backbones: False leaves out image encoder, text encoder and language model (for parity checks and training
            from cached features).
    """

    def __init__(self, config: ModelConfig, backbones: bool = True) -> None:
        super().__init__()
        self.config = config
        self.is_prepared = False  # for inference
        self.arithmetic: torch.dtype | None = None  # number format of products where it is not the parameters' own
        width, text = config.resampler.width, config.text_encoder.width
        self.encoder = build_encoder(config.encoder, text) if backbones else None
        self.text_encoder = TextEncoder(config.text_encoder) if backbones else None
        self.align = RegionAlign(config.align, config.encoder, config.num_views)
        self.resampler = Resampler(config.resampler, config.encoder.width)
        self.summary = (
            RegionSummary(config.resampler, config.encoder.global_tokens, config.encoder.width)
            if config.decoder.bilinear
            else None
        )
        believes = config.encoder.belief
        self.classifier_names = ClassifierNames(text, CLASSES) if believes else None
        self.tagging = QueryDecoder(config.decoder, width, text, belief=believes)
        self.contrast = QueryDecoder(
            config.decoder, width, text, belief=believes, normalize=config.decoder.normalize_contrast
        )
        self.log_temperature = nn.Parameter(torch.tensor(math.log(10.0)))
        self.contrast_bias = nn.Parameter(torch.tensor(-10.0))
        self.language = LanguageDecoder(config.language, width, text, backbone=backbones)
        self.pointing = (
            PointingHead(config.pointing, self.encoder.level_channels)
            if config.pointing is not None and isinstance(self.encoder, EfficientNetEncoder)
            else None
        )
        self._freeze()

    def _freeze(self) -> None:
        trained = {*self.config.trainable, "log_temperature", "contrast_bias"}
        for name, parameter in self.named_parameters():
            part = "t5" if name.startswith("language.t5.") else name.split(".")[0]
            parameter.requires_grad_(part in trained)

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters that training changes: exactly those that receive gradients."""
        return ((name, p) for name, p in self.named_parameters() if p.requires_grad)

    def prepare_inference(self, arithmetic: torch.dtype | None = None) -> None:
        """Make the loaded network faster, once; it can then neither be trained nor saved.

        Args:
            arithmetic: number format of convolutions and linear layers on a processor, torch.bfloat16 or None for
                float32, which changes nothing in the answers.
        """
        if self.is_prepared:
            return
        self.is_prepared = True
        self.eval().requires_grad_(False)
        self.language.prepare_inference()
        if self.text_encoder is not None:
            self.text_encoder.prepare_inference()
        if isinstance(self.encoder, EfficientNetEncoder):
            self.encoder.fold_batch_norm()
            self.encoder.to(memory_format=torch.channels_last)
        if can_pack(self.log_temperature):
            encoder = self.encoder if isinstance(self.encoder, EfficientNetEncoder) else None
            own = (encoder, self.align, self.resampler, self.summary, self.tagging, self.contrast, self.language)
            for part in filter(None, own):
                pack(part, arithmetic or torch.float32)
            self.arithmetic = arithmetic

    def changed(self, config: ModelConfig) -> DynRefer:
        """A network of another configuration: what still fits keeps its weights and tokenizers, the rest is random."""
        new = DynRefer(config)
        own = new.state_dict()
        fitting = {k: v for k, v in self.state_dict().items() if k in own and own[k].shape == v.shape}
        new.load_state_dict(fitting, strict=False)
        new.language.tokenizer = self.language.tokenizer
        if new.text_encoder is not None and self.text_encoder is not None:
            new.text_encoder.tokenizer = self.text_encoder.tokenizer
        return new

    def encode(self, pixels: Tensor) -> Tensor:
        """Normalised views [N, 3, 224, 224] -> tokens [N, T, C]."""
        assert self.encoder is not None
        return self.encoder(pixels)

    def normalize(self, pixels: Tensor) -> Tensor:
        """Views as uint8 [N, 224, 224, 3] -> normalised float [N, 3, 224, 224] in the model's type and device."""
        parameter, width = self.log_temperature, pixels.shape[2]
        # Rows as they lie in memory: channels last to be broadcast over three values at a time are ten times slower.
        mean, scale = (
            parameter.new_tensor(x, dtype=torch.float32).repeat(width)
            for x in (self.config.encoder.mean, [1 / s for s in self.config.encoder.std])
        )
        x = pixels.to(parameter.device).flatten(2).float().sub_(mean).mul_(scale).unflatten(2, (width, -1))
        return x.permute(0, 3, 1, 2).to(parameter.dtype)

    def represent(self, cuts: Tensor, geometry: Tensor | None = None) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """cuts [S * V, G + B + g * g, C] of `RegionAlign.cut` -> queries [S, Q, D], summary and belief of each region.

        The summary [S, D] is one vector a region, the belief [S, K] what the encoder's classifier thinks of it; each is
        None for sizes without it.
        """
        fused = self.align(cuts, geometry)
        queries = self.resampler(fused)
        summary = self.summary(fused, queries) if self.summary is not None else None
        return queries, summary, self.align.belief(cuts)

    def tag_texts(self, texts: Tensor) -> TextQueries:
        """Text embeddings [T, E], prepared once for `tag_logits`."""
        return self._prepared(self.tagging, texts)

    def contrast_texts(self, texts: Tensor) -> TextQueries:
        """Text embeddings [T, E], prepared once for `contrast_logits`."""
        return self._prepared(self.contrast, texts)

    def tag_logits(
        self, queries: Tensor, texts: Tensor | TextQueries, summary: Tensor | None = None, belief: Tensor | None = None
    ) -> Tensor:
        """queries [S, Q, D], texts [N, E] -> [S, N]; the sigmoid is the tag's probability."""
        return self.tagging(queries, self._prepared(self.tagging, texts), summary, belief)

    def contrast_logits(
        self, queries: Tensor, texts: Tensor | TextQueries, summary: Tensor | None = None, belief: Tensor | None = None
    ) -> Tensor:
        """queries [S, Q, D], texts [T, E] -> [S, T]; ranks classes, and its sigmoid is an attribute's probability."""
        return self.contrast(queries, self._prepared(self.contrast, texts), summary, belief)

    def _prepared(self, decoder: QueryDecoder, texts: Tensor | TextQueries) -> TextQueries:
        if isinstance(texts, TextQueries):
            return texts
        return decoder.prepare(texts, self.classifier_names(texts) if self.classifier_names is not None else None)
