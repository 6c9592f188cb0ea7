"""Parameters and multiply-adds of every part: `python -m benchmarks.cost`.

Counted on the meta device: nothing is allocated, nothing computed.

One multiply-add is one FLOP here, as in the paper's Tab. 5 and Tab. 9 (`torch.utils.flop_counter` counts two).
V views, g side of the region map, C channels, T' fused tokens, Q queries, D their width, E text width.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dynrefer.checkpoint import find_checkpoint, read_config
from dynrefer.errors import InputError
from dynrefer.model.config import PRESETS, ModelConfig, PointingConfig
from dynrefer.model.dynrefer import DynRefer
from dynrefer.model.encoder import EfficientNetEncoder
from dynrefer.model.pointing import STRIDES, PointingHead
from dynrefer.model.query_decoder import QueryDecoder

TAGS = 4585  # Recognize Anything's list
TEXTS = 317  # OVAD's synonyms, one template each, and COCO's 80 classes
CONTROL_TOKENS, CAPTION_TOKENS = 8, 18
VISUAL = ("image encoder", "align", "resampler")  # what the paper's "V. FLOPs" adds up


@dataclass(frozen=True)
class PartCost:
    """One part of the network for one region: numbers of parameters, of trained ones, and of multiply-adds."""

    name: str
    parameters: int
    trained: int
    multiply_adds: int


def count(config: ModelConfig, num_views: int | None = None) -> list[PartCost]:
    """Every part of a network of this size, in the order of the data flow.

    Texts that the query decoders score are counted as embedded and projected, since both are kept between questions:
    `TAGS` by the tag decoder, `TEXTS` by the contrast decoder. The text encoder reads one text of full length; the
    language model `CONTROL_TOKENS` beside the queries, and writes `CAPTION_TOKENS`.

    Raises InputError when the number of views is not positive.
    """
    views = config.num_views if num_views is None else num_views
    if views < 1:
        raise InputError(f"A region needs at least one view, not {views}.")
    with torch.device("meta"), torch.no_grad():
        model = DynRefer(replace(config, num_views=views))
        parts = list(_parts(model.eval(), views))
        sizes = [_parameters(modules, extra) for _, modules, extra, _ in parts]
        model.requires_grad_(False)  # the counter hooks into gradients otherwise
        return [PartCost(part[0], *size, _multiply_adds(part[-1])) for part, size in zip(parts, sizes, strict=True)]


def visual(parts: Sequence[PartCost], num_views: int) -> list[int]:
    """Multiply-adds of image encoder, align and resampler for 1 .. `num_views` views, from `count` for `num_views`."""
    encoder, align, resampler = (next(p.multiply_adds for p in parts if p.name == name) for name in VISUAL)
    others = max(num_views - 1, 1)
    return [encoder * n // num_views + align * (n - 1) // others + resampler for n in range(1, num_views + 1)]


_Part = tuple[str, Sequence[nn.Module | None], Sequence[nn.Parameter], Callable[[], object]]


def _parts(model: DynRefer, views: int) -> Iterable[_Part]:
    config = model.config
    assert model.encoder is not None and model.text_encoder is not None
    size, width, length = config.encoder.image_size, config.encoder.width, model.align.num_tokens
    queries = torch.empty(1, config.resampler.queries, config.resampler.width)
    fused = torch.empty(1, length, width)
    region_map = torch.empty(views - 1, config.align.output_size, config.align.output_size, width)
    deform, fuse = model.align.deform, [m for m in model.align.children() if m is not model.align.deform]
    own = list(model.align.parameters(recurse=False))
    yield "image encoder", [model.encoder], [], partial(model.encode, torch.empty(views, 3, size, size))
    yield "align", [deform], [], partial(deform, region_map, region_map) if deform is not None else int
    yield "fusion", fuse, own, partial(model.align.fuse, torch.empty(1, length, views * width))
    yield "resampler", [model.resampler], [], partial(model.resampler, fused)
    if model.summary is not None:
        yield "summary", [model.summary], [], partial(model.summary, fused, queries)
    yield "tag decoder", [model.tagging], [], partial(_score, model.tagging, queries, TAGS)
    pair = [model.log_temperature, model.contrast_bias]
    yield "contrast decoder", [model.contrast], pair, partial(_score, model.contrast, queries, TEXTS)
    tokens = torch.zeros(1, config.text_encoder.max_length, dtype=torch.long)
    yield "text encoder", [model.text_encoder], [], partial(model.text_encoder.text, input_ids=tokens)
    yield "language model", [model.language], [], partial(_write, model, queries)
    if model.pointing is not None:
        assert isinstance(model.encoder, EfficientNetEncoder) and config.pointing is not None
        depths = model.encoder.level_channels
        yield "pointing head", [model.pointing], [], partial(_point, config.pointing, depths)


def _point(config: PointingConfig, depths: Sequence[int]) -> None:
    """The head over one square photograph in each of its sizes.

    With memory: where it switches autocast off, the meta device will not do.
    """
    with torch.device("cpu"):
        head = PointingHead(config, depths)
        for longest in config.longest:
            side = -(-longest // STRIDES[-1]) * STRIDES[-1]
            head([torch.empty(1, side // s, side // s, depth) for s, depth in zip(STRIDES, depths, strict=True)])


def _score(decoder: QueryDecoder, queries: torch.Tensor, texts: int) -> None:
    """The decoder over `texts` projected texts, without their projection."""
    region = decoder.vision_proj(queries)
    x = torch.empty(1, texts, decoder.text_proj.out_features)
    for layer in decoder.layers:
        x = layer(x, region)
    decoder.score(x)


def _write(model: DynRefer, queries: torch.Tensor) -> None:
    language = model.language
    assert language.t5 is not None
    projected = language.project(queries)
    controls = torch.empty(1, CONTROL_TOKENS, projected.shape[-1])
    caption = torch.zeros(1, CAPTION_TOKENS, dtype=torch.long)
    prompt = torch.cat([projected, controls], 1)
    language.t5(prompt, torch.ones(prompt.shape[:2]), caption)


def _parameters(modules: Sequence[nn.Module | None], extra: Sequence[nn.Parameter]) -> tuple[int, int]:
    found = {id(p): p for module in modules if module is not None for p in module.parameters()}
    found |= {id(p): p for p in extra}
    return sum(p.numel() for p in found.values()), sum(p.numel() for p in found.values() if p.requires_grad)


def _multiply_adds(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2


def cost(config: ModelConfig, views: int | None = None) -> str:
    """A table of the parts of a network of this size, and the visual multiply-adds for one to all views.

    Raises InputError for a number of views below one.
    """
    views = config.num_views if views is None else views
    parts = count(config, views)
    total = sum(part.parameters for part in parts)
    lines = [f"{config.name}, {views} views, one region", ""]
    lines.append(f"{'part':18}{'parameters':>14}{'share':>9}{'trained':>13}{'G multiply-adds':>17}")
    lines += [
        f"{p.name:18}{p.parameters:14,}{p.parameters / total:9.2%}{p.trained:13,}{p.multiply_adds / 1e9:17.1f}"
        for p in parts
    ]
    trained = sum(part.trained for part in parts)
    lines.append(f"{'all':18}{total:14,}{1:9.2%}{trained:13,}{sum(p.multiply_adds for p in parts) / 1e9:17.1f}")
    lines += ["", f"Visual multiply-adds ({', '.join(VISUAL)}):"]
    lines += [f"  views {n}: {value / 1e9:.1f} G" for n, value in enumerate(visual(parts, views), 1)]
    lines += [
        "",
        f"Tag decoder: {TAGS:,} tags; contrast decoder: {TEXTS} texts; projecting their embeddings is not counted.",
        f"Text encoder: one full text. Language model: {CONTROL_TOKENS} control tokens, {CAPTION_TOKENS} written.",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of a checkpoint's own configuration, or of a named size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--model", help="checkpoint folder or Hub id (default: DYNREFER_MODEL or dynrefer-mini)")
    size.add_argument("--preset", choices=sorted(PRESETS), help="a named size in its place")
    parser.add_argument("--views", type=int, help="number of views (default: as configured)")
    given = parser.parse_args(arguments)
    try:
        config = ModelConfig.preset(given.preset) if given.preset else read_config(find_checkpoint(given.model))
        print(cost(config, given.views))
    except InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
