"""Speed, memory and agreement on a GPU: `python -m benchmarks.gpu [paper] [agreement] [mini] [memory] [profile]`.

The paper's model has its true size and random weights, made where they are used: speed and memory do not depend on
their values. Every question is about another box, so views are encoded anew. Beside it, BLIP-2 FLAN-T5-XL of
`transformers`, of the same size, captions the crop alone. `--json FILE` writes all figures, and the profile beside it.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import statistics
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor

from benchmarks.cost import TAGS
from benchmarks.page import examples, farthest
from dynrefer import Predictor
from dynrefer.checkpoint import Checkpoint, load_weights
from dynrefer.datasets.coco import CLASS_NAMES
from dynrefer.errors import InputError
from dynrefer.model import DynRefer, ModelConfig
from dynrefer.official.convert import official_attributes
from dynrefer.results import RegionResult
from dynrefer.vocabulary import Vocabulary
from dynrefer.weights import StoredTensor, parameters_on_meta, unshared

PRESET = "dynrefer-flant5xl"
SMALL: dict[str, Any] = {  # the same parts, few and narrow, for agreement and for a machine without GPU
    "encoder": {"width": 32, "options": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}},
    "text_encoder": {"options": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}},
    "align": {"hidden": 32},
    "resampler": {"width": 48, "layers": 2, "hidden": 64},
    "decoder": {"width": 32, "hidden": 64},
    "language": {
        "options": {
            "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4,
            "vocab_size": 512,
        }
    },
}  # fmt: skip
SMALL["encoder"]["options"]["num_attention_heads"] = SMALL["text_encoder"]["options"]["num_attention_heads"] = 4
QUESTION: dict[str, Any] = {"num_views": 3, "num_beams": 5, "max_new_tokens": 12}
TOGETHER = 32
TURNS = itertools.count()
CLOSE = {"float32": 1e-3, "bfloat16": 0.25, "float16": 0.25}
Figures = dict[str, Any]


def random_like(name: str, like: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Noise for matrices, ones for scales and variances, zeros for shifts."""
    if like.dim() > 1:
        return 0.02 * torch.randn(like.shape, device=device, dtype=dtype)
    made = torch.ones if name.endswith(("weight", "running_var")) else torch.zeros
    return made(like.shape, device=device, dtype=dtype)


def random_predictor(
    config: ModelConfig, device: torch.device, dtype: torch.dtype, made_on: torch.device | None = None
) -> Predictor:
    """A predictor of this size with random words, and with random weights in float32 where `made_on` says.

    These are the same for the same seed and place; else they are made on the device, in its format.
    """
    place, kind = (device, dtype) if made_on is None else (made_on, torch.float32)
    with parameters_on_meta():
        model = DynRefer(config)
    state = {
        name: StoredTensor(tuple(like.shape), partial(random_like, name, like, place, kind))
        for name, like in unshared(model).items()
    }
    load_weights(model, state, device, dtype)
    words = Vocabulary(tuple(f"tag {i}" for i in range(TAGS)), official_attributes(), CLASS_NAMES)
    rows = {"tags": TAGS, "attributes": len(words.attribute_texts), "classes": len(CLASS_NAMES)}
    generator = torch.Generator().manual_seed(0)
    words = words.with_embeddings(
        {name: torch.randn(count, config.text_encoder.width, generator=generator) for name, count in rows.items()}
    )
    start, end = (config.text_encoder.options.get(f"{edge}_token_id", 2) for edge in ("bos", "eos"))
    tokenizer = numbers(max(start, end) + 1)
    ends = [(tokenizer.id_to_token(start), start), (tokenizer.id_to_token(end), end)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{ends[0][0]} $A {ends[1][0]}", special_tokens=sorted(set(ends))
    )
    model.language.tokenizer = numbers(config.language.options["vocab_size"])
    assert model.text_encoder is not None
    model.text_encoder.tokenizer = tokenizer
    model.prepare_inference()
    return Predictor(Checkpoint(model, words, Path(config.name)), f"{device}, {dtype}, random weights")


def numbers(count: int) -> Tokenizer:
    """A tokenizer of the words w0, w1, ..."""
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(count)}, unk_token="w2"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


@contextmanager
def plain() -> Iterator[None]:
    """Without CUDA graphs, as on ZeroGPU."""
    os.environ["DYNREFER_CUDA_GRAPHS"] = "0"
    try:
        yield
    finally:
        del os.environ["DYNREFER_CUDA_GRAPHS"]


def photographs(count: int) -> list[np.ndarray]:
    """Noise, uint8 [480, 640, 3] each."""
    return list(np.random.default_rng(0).integers(0, 256, (count, 480, 640, 3), dtype=np.uint8))


def boxes(count: int, first: int | None = None) -> list[tuple[int, int, int, int]]:
    """Boxes on such photographs: the same for the same `first`, without it others each time."""
    if first is None:
        first = next(TURNS) * 97
    return [(40 + k % 90, 30 + k % 60, 300 + 2 * k % 300, 260 + k % 200) for k in range(first, first + count)]


def synchronized(run: Callable[[], object]) -> float:
    """Milliseconds until the device has done it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def peak(figures: Figures, name: str) -> None:
    """Note the GPU's memory since the last call, in GiB."""
    if torch.cuda.is_available():
        figures[f"{name}: peak GiB allocated"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        figures[f"{name}: peak GiB reserved"] = round(torch.cuda.max_memory_reserved() / 2**30, 2)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def answering(predictor: Predictor, figures: Figures, name: str, repeat: int, question: Figures) -> None:
    """One region after the other, and many together."""
    (photo,) = photographs(1)
    answers = [predictor.refer(photo, box, **question) for box in boxes(repeat + 3)][3:]
    stages = {stage: statistics.median(a.timing_ms[stage] for a in answers) for stage in answers[0].timing_ms}
    figures[f"{name}: ms a region"] = {stage: round(ms, 1) for stage, ms in stages.items()}
    peak(figures, f"{name}, one")
    many = partial(predictor.refer_many, batch_size=TOGETHER, ahead=2, **question)
    requests = [(each, boxes(TOGETHER)) for each in photographs(repeat // 4 + 3)]
    list(many(requests[:2]))
    seconds = synchronized(lambda: list(many(requests[2:]))) / 1000
    figures[f"{name}: regions a second in batches of {TOGETHER}"] = round(TOGETHER * len(requests[2:]) / seconds, 1)
    together = next(many([(photo, boxes(TOGETHER))]))[0].timing_ms
    figures[f"{name}: ms a region in such a batch"] = {stage: round(ms, 2) for stage, ms in together.items()}
    peak(figures, f"{name}, many")


def measure_paper(args: argparse.Namespace, figures: Figures) -> None:
    """The paper's model: first answer, one by one, many, without graphs, and BLIP-2 beside it."""
    start = time.perf_counter()
    if args.checkpoint:
        predictor = Predictor.from_pretrained(args.checkpoint, args.device, args.dtype)
    else:
        predictor = random_predictor(configuration(args), args.device, args.dtype)
        figures["warm-up ms"] = round(predictor.warm_up())
    figures["load s"] = round(time.perf_counter() - start, 1)
    figures["reason"] = predictor.device_reason
    (photo,) = photographs(1)
    first = synchronized(lambda: predictor.refer(photo, (5, 5, 200, 300)))
    figures["first answer ms (up to 30 words)"] = round(first)
    peak(figures, "load and first answer")
    answering(predictor, figures, "recorded", args.repeat, QUESTION)
    with plain():
        answering(predictor, figures, "unrecorded", args.repeat // 2, QUESTION)
    predictor.model.language._searches.clear()
    if not args.checkpoint:
        measure_blip2(args, figures)


@torch.inference_mode()
def measure_blip2(args: argparse.Namespace, figures: Figures) -> None:
    """`transformers`' captioner with the same backbones, asked for captions of crops alone."""
    from transformers import Blip2Config, Blip2ForConditionalGeneration, T5Config

    config = configuration(args)
    vision = {**config.encoder.options, "image_size": config.encoder.image_size}
    former = {
        "hidden_size": config.resampler.width, "num_hidden_layers": config.resampler.layers,
        "num_attention_heads": config.resampler.heads, "intermediate_size": config.resampler.hidden,
        "encoder_hidden_size": config.encoder.width,
    }  # fmt: skip
    text = T5Config(**config.language.options).to_dict()
    torch.set_default_dtype(args.dtype)
    try:
        with args.device:
            blip: Any = Blip2ForConditionalGeneration(
                Blip2Config(vision_config=vision, qformer_config=former, text_config=text)
            ).eval()
    finally:
        torch.set_default_dtype(torch.float32)
    words = QUESTION["max_new_tokens"]

    def caption(count: int) -> None:
        pixels = torch.randn(count, 3, vision["image_size"], vision["image_size"], device=args.device).to(args.dtype)
        seen = blip.vision_model(pixels).last_hidden_state
        read = blip.qformer(query_embeds=blip.query_tokens.expand(count, -1, -1), encoder_hidden_states=seen)
        prompt = blip.language_projection(read.last_hidden_state)
        length = {"min_new_tokens": words, "max_new_tokens": words, "num_beams": QUESTION["num_beams"]}
        mask = torch.ones(prompt.shape[:2], dtype=torch.long, device=args.device)
        blip.language_model.generate(inputs_embeds=prompt, attention_mask=mask, **length).tolist()

    for count in (1, TOGETHER):
        caption(count)
        ms = statistics.median(synchronized(partial(caption, count)) for _ in range(max(2, args.repeat // 4)))
        figures[f"BLIP-2 of transformers, captions of {count} crops, ms each"] = round(ms / count, 1)


def measure_agreement(args: argparse.Namespace, figures: Figures) -> None:
    """The GPU's answers beside the processor's: the embedded model on the gallery, the paper's parts on noise."""
    asked: dict[str, Any] = {"tag_threshold": 0, "top_classes": None}
    shrunk = ModelConfig.preset(PRESET).changed(SMALL)
    (photo,) = photographs(1)

    def small(device: torch.device, dtype: torch.dtype) -> Predictor:
        torch.manual_seed(1)
        return random_predictor(shrunk, device, dtype, made_on=torch.device("cpu"))

    def answers(predictor: Predictor, of_gallery: bool) -> list[RegionResult]:
        if of_gallery:
            return [predictor.refer(path, box, **asked) for path, box in examples()]
        found = [predictor.refer(photo, boxes(1, k)[0], num_beams=n, **asked) for k, n in enumerate((1, 2, 5, 5, 3))]
        return [*found, *predictor.refer(photo, boxes=boxes(9, 50), **asked)]

    for name, of_gallery in (("embedded model", True), ("paper's parts", False)):
        make = (lambda d, t: Predictor.from_pretrained(device=str(d), dtype=t)) if of_gallery else small
        reference = answers(make(torch.device("cpu"), torch.float32), of_gallery)
        for kind in CLOSE:
            predictor = make(args.device, getattr(torch, kind))
            for graphs in (True, False):
                with warnings.catch_warnings(record=True) as said, nullcontext() if graphs else plain():
                    found = answers(predictor, of_gallery)
                same = sum(said_of(a) == said_of(b) for a, b in zip(reference, found, strict=True))
                gap = max(map(farthest, reference, found))
                how = f"{name}, {kind}, {'recorded' if graphs else 'unrecorded'}"
                figures[how] = f"same caption {same} of {len(found)}, farthest score {gap:.2g}" + (
                    "" if gap <= CLOSE[kind] else " FAR OFF"
                )
                figures[how] += "".join(f"; WARNED: {warning.message}" for warning in said)


def said_of(result: RegionResult) -> str | None:
    """The caption's text."""
    return None if result.caption is None else result.caption.text


def measure_mini(args: argparse.Namespace, figures: Figures) -> None:
    """The embedded model."""
    for kind in ("bfloat16", "float32"):
        predictor = Predictor.from_pretrained(device=str(args.device), dtype=kind)
        answering(predictor, figures, kind, 2 * args.repeat, {})


def measure_memory(args: argparse.Namespace, figures: Figures) -> None:
    """What is said where the memory does not suffice, and whether the next question is answered."""
    predictor = Predictor.from_pretrained(device=str(args.device))
    (photo,) = photographs(1)
    torch.cuda.empty_cache()
    kept = torch.cuda.memory_reserved() / torch.cuda.get_device_properties(args.device).total_memory
    torch.cuda.set_per_process_memory_fraction(kept + 1e-4)
    try:
        predictor.refer(photo, boxes=boxes(64))
        figures["without memory"] = "ANSWERED"
    except InputError as error:
        figures["without memory"] = str(error)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    figures["afterwards"] = str(len(predictor.refer(photo, boxes=boxes(64)))) + " answers"


def measure_profile(args: argparse.Namespace, figures: Figures) -> None:
    """The kernels of one answer, in turn by the time that they take, into a file beside the figures."""
    predictor = random_predictor(configuration(args), args.device, args.dtype)
    (photo,) = photographs(1)
    for box in boxes(3):
        predictor.refer(photo, box, **QUESTION)
    with torch.profiler.profile() as profile:
        predictor.refer(photo, boxes(1, 7)[0], **QUESTION)
    events = profile.key_averages()
    kernels = [event for event in events if event.device_type == torch.autograd.DeviceType.CUDA]
    figures["kernels"] = sum(event.count for event in kernels)
    figures["kernels' ms"] = round(sum(event.self_device_time_total for event in kernels) / 1000, 1)
    if args.json:
        by = "self_device_time_total" if kernels else "self_cpu_time_total"
        args.json.with_suffix(".txt").write_text(
            events.table(sort_by=by, row_limit=60, max_name_column_width=90), encoding="utf-8"
        )


def configuration(args: argparse.Namespace) -> ModelConfig:
    """The paper's size, or the small one."""
    preset = ModelConfig.preset(PRESET)
    return preset.changed(SMALL) if args.small else preset


SECTIONS: dict[str, Callable[[argparse.Namespace, Figures], None]] = {
    "paper": measure_paper,
    "agreement": measure_agreement,
    "mini": measure_mini,
    "memory": measure_memory,
    "profile": measure_profile,
}


def main() -> None:
    """Read the arguments, measure section by section, print what was found; a section that fails costs no other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="all where none is named")
    parser.add_argument("--checkpoint", type=Path, help="a converted folder instead of random weights")
    parser.add_argument("--small", action="store_true", help="the paper's parts, few and narrow")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--dtype", type=lambda name: getattr(torch, name), default=torch.bfloat16)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=600, help="no section begins later")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    begun = time.perf_counter()
    found: dict[str, Any] = {"torch": torch.__version__}
    if torch.cuda.is_available():
        found["device"] = torch.cuda.get_device_name()
    print(found, flush=True)
    for name in args.sections or SECTIONS:
        if time.perf_counter() - begun > args.seconds:
            print(f"{name}: left out, no time")
            continue
        figures: Figures = {}
        found[name] = figures
        try:
            SECTIONS[name](args, figures)
        except Exception:
            figures["FAILED"] = traceback.format_exc()
        gc.collect()
        figures["section s"] = round(time.perf_counter() - begun, 1)
        for key, value in figures.items():
            print(f"{name:10} {key:52} {value}", flush=True)
        if args.json:
            args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
