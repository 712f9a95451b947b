"""The scalar head of a reward model under the names that other tools give it, read from the model's files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from trueward.artifacts import read_json
from trueward.models.places import find_file
from trueward.models.whole import LoadedWeights

# TRL's and LLaMA-Factory's `v_head.summary`, OpenRLHF's `value_head` and `score`, UltraRM's and Eurus's `regression_head` …
HEADS = frozenset(
    {"score", "classifier", "v_head", "value_head", "reward_head", "regression_head", "regression_layer", "rm_head"}
    | {"scalar_head", "critic_head", "rank_head", "value", "reward"}
)
LANGUAGE = ("lm_head.", "embed_out.")  # heads of language models, that a reward model's files may hold beside its own
OWN = ("score", "classifier")  # what transformers calls a linear head, decoders' and encoders'
BESIDE = "value_head"  # a file of its own, in which LLaMA-Factory puts the head
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WHOLE = ("model.safetensors", "pytorch_model.bin")


def settle(loaded: LoadedWeights, place: str) -> None:
    """Put the head that the files hold on the model, if there is exactly one with one output; what fitted is ticked off.

    A head is one matrix of one row, with a bias or without, under one of `HEADS`, maybe below further names (`score.0.weight`).
    Whatever else didn't fit stays in `loaded`.
    """
    own = next((name for name in OWN if isinstance(getattr(loaded.model, name, None), nn.Linear)), "")
    if not own:
        return
    needed = {f"{own}.weight", f"{own}.bias"}
    if not loaded.missing & needed and not set(loaded.mismatched) & needed:
        loaded.unexpected = {name for name in loaded.unexpected if not name.startswith(LANGUAGE)}
    extra = {name for name in loaded.unexpected | set(loaded.mismatched) if name.split(".")[0] in HEADS}
    tensors = _read(place, extra, loaded) | (_beside(place) if loaded.missing & needed else {})
    weights = [name for name, t in tensors.items() if name.endswith("weight") and t.ndim == 2 and t.shape[0] == 1]
    lacking = loaded.missing & needed or set(loaded.mismatched) & needed
    if lacking and len(weights) == 1:
        stem = weights[0].removesuffix("weight")
        used = {weights[0], f"{stem}bias"} & set(tensors)
        bias = tensors.get(f"{stem}bias")
    elif not lacking and f"{own}.bias" in tensors:  # the family's head has none, and this one was trained with one
        used, weights, stem = {f"{own}.bias"}, [], ""
        bias = tensors[f"{own}.bias"]
    else:
        return
    weight = tensors[weights[0]] if weights else getattr(loaded.model, own).weight.detach()
    if weight.shape[1] != getattr(loaded.model, own).in_features or (bias is not None and bias.numel() != len(weight)):
        return
    setattr(loaded.model, own, _linear(weight, bias))
    loaded.model.config.num_labels = loaded.model.num_labels = len(weight)
    loaded.missing -= needed
    loaded.unexpected -= used
    for name in used | needed:
        loaded.mismatched.pop(name, None)
    loaded.unexpected = {name for name in loaded.unexpected if not name.startswith(LANGUAGE)}


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    head = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device=weight.device)
    with torch.no_grad():
        head.weight.copy_(weight)
        if bias is not None:
            head.bias.copy_(bias.reshape(-1))
    return head.requires_grad_(True)


def _read(place: str, names: Iterable[str], loaded: LoadedWeights) -> dict[str, Tensor]:
    """Tensors of a model's files by their names in the model, in float32."""
    wanted = set(names)
    out: dict[str, Tensor] = {}
    for path in _files(place) if wanted else ():
        with_name = {loaded.plain_name(name): name for name in _names(path)}
        out |= _tensors(path, {plain: with_name[plain] for plain in wanted & set(with_name)})
    return out


def _beside(place: str) -> dict[str, Tensor]:
    for ending in (".safetensors", ".bin"):
        if path := find_file(place, BESIDE + ending):
            return _tensors(path, {name: name for name in _names(path)})
    return {}


def _files(place: str) -> list[Path]:
    """The files of weights that transformers reads: those of an index, or the one there is."""
    for whole, index in zip(WHOLE, INDEXES, strict=True):
        if path := find_file(place, whole):
            return [path]
        if path := find_file(place, index):
            named = sorted(set(read_json(path)["weight_map"].values()))
            return [file for name in named if (file := find_file(place, name))]
    return []


def _names(path: Path) -> list[str]:
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return list(file.keys())
    return list(_pickled(path))


def _tensors(path: Path, names: dict[str, str]) -> dict[str, Tensor]:
    """names: {what they are called here: what they are called in the file}."""
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return {here: file.get_tensor(there).float() for here, there in names.items()}
    tensors = _pickled(path)
    return {here: tensors[there].float() for here, there in names.items()}


def _pickled(path: Path) -> dict[str, Tensor]:
    """The tensors of a .bin file, of which torch reads nothing else (weights_only)."""
    read: Any = torch.load(path, map_location="cpu", weights_only=True)
    return {name: t for name, t in read.items() if isinstance(t, Tensor)}
