"""Weights are loaded whole: every tensor of a model has its own in the file, and the other way round, or it is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from trueward.models.places import quantisation

WRAPPERS = frozenset(  # what training tools call the object that a model was inside when it was saved
    {"module", "_orig_mod", "_fsdp_wrapped_module", "_forward_module", "model", "base_model", "pretrained_model"}
    | {"transformer", "policy", "policy_model", "actor", "actor_model", "critic", "reward_model", "rm", "backbone"}
    | {"student", "llm", "language_model", "rwtransformer", "rwtranrsformer"}
)
INSIDE = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")  # these also stand in the middle of names
NO_WEIGHTS = (".masked_bias", "rotary_emb.inv_freq", "position_ids")  # constants that older files hold
MOST = 3  # names in an error


@dataclass
class LoadedWeights:
    """A model with what did not fit: names of tensors that its files lack, that it has no place for, that differ in shape."""

    model: Any
    missing: set[str]
    unexpected: set[str]
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """name: (shape in the files, shape in the model)."""
    prefix: str = ""
    """What stood before all names in the files, and was taken away."""
    renamed: dict[str, str] = field(default_factory=dict)
    """The renaming, as transformers takes it."""

    def plain_name(self, name: str) -> str:
        """What a tensor of the files is called in the model."""
        for pattern, instead in self.renamed.items():
            name = re.sub(pattern, instead, name)
        return name

    def require_whole(self, place: str, kind: str) -> None:
        """`ValueError` in one line that names the tensors, if anything did not fit."""
        faults = []
        if self.missing:
            faults.append(f"its files have no {_names(self.missing)}, which it would get from chance")
        if self.unexpected:
            faults.append(f"it has no place for {_names(self.unexpected)} in its files")
        if self.mismatched:
            name, (given, wanted) = min(self.mismatched.items())
            faults.append(f"{name} has the shape {_shape(given)} in its files and {_shape(wanted)} in the model")
        if faults:
            raise ValueError(f"{place}: can't be loaded whole as {kind}: {'; '.join(faults)}")


def load(auto: Any, place: str, config: Any, *, on_meta: bool = False) -> LoadedWeights:
    """The model in float32 and what did not fit. A known wrapper before all names is taken away.

    auto: a class as `AutoModelForCausalLM`. config: from `places.read_config`. on_meta: names and shapes alone are read,
    and the weights are nowhere. Quantised weights become plain numbers where their library can do that.
    """
    first = _load(auto, place, config, {}, on_meta)
    if not (first.missing and first.unexpected):
        return first
    renamed = {rf"(^|\.){name}\.": r"\1" for name in INSIDE if any(_has(u, name) for u in first.unexpected)}
    prefix = wrapper(first.missing, (_without(u) for u in first.unexpected), first.model.base_model_prefix)
    if prefix:
        renamed |= {"^" + prefix.replace(".", r"\."): ""}
    if not renamed:
        return first
    again = _load(auto, place, config, renamed, on_meta)
    if len(again.missing) < len(first.missing):
        again.prefix, again.renamed = prefix, renamed
        return again
    return first


def wrapper(missing: Iterable[str], unexpected: Iterable[str], base: str) -> str:
    """The prefix of known wrappers after which names in the files are those that the model lacks; empty if there is none.

    base: the name of the family's inner model, which files may leave out.

    >>> wrapper({"lm_head.weight"}, {"base_model.model.lm_head.weight"}, "model")
    'base_model.model.'
    >>> wrapper({"lm_head.weight"}, {"other.lm_head.weight"}, "model")
    ''
    """
    lacking = set(missing)
    short = {name.removeprefix(f"{base}.") for name in lacking}
    prefixes: dict[str, int] = {}
    for name in unexpected:
        parts = name.split(".")
        for i in range(1, len(parts)):
            if parts[i - 1] not in WRAPPERS:
                break
            rest = ".".join(parts[i:])
            if rest in lacking or rest in short:
                prefix = ".".join(parts[:i]) + "."
                prefixes[prefix] = prefixes.get(prefix, 0) + (2 if rest in lacking else 1)
    return max(sorted(prefixes), key=lambda p: prefixes[p], default="")


def _load(auto: Any, place: str, config: Any, renamed: dict[str, str], on_meta: bool) -> LoadedWeights:
    more: dict[str, Any] = {"key_mapping": renamed} if renamed else {}
    if on_meta:
        more["device_map"] = "meta"
    model, info = auto.from_pretrained(
        place,
        config=config,
        dtype=torch.float32,
        trust_remote_code=False,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are refused here, by name
        **more,
    )
    if quantisation(config) and not on_meta:
        plain(model)
    if renamed or quantisation(config):  # it is saved under the family's own names, as plain numbers
        vars(model).pop("_weight_conversions", None)
    mismatched = {name: (tuple(given), tuple(wanted)) for name, given, wanted in info["mismatched_keys"]}
    unexpected = {name for name in info["unexpected_keys"] if not name.endswith(NO_WEIGHTS)}
    return LoadedWeights(model, set(info["missing_keys"]), unexpected, mismatched)


def plain(model: Any) -> None:
    """Quantised weights as plain float32, in place, so that all that is known of linear layers holds for them.

    Where their library has no way to do that, each layer is asked for what it makes of the unit vectors: those are its weights.
    """
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is None:  # it was plain when it was loaded
        return
    try:
        model.dequantize(dtype=torch.float32)
    except NotImplementedError:
        for name, module in list(model.named_modules()):
            if hasattr(module, "in_features") and not isinstance(module, nn.Linear):
                parent, _, leaf = name.rpartition(".")
                setattr(model.get_submodule(parent), leaf, as_linear(module, name))
    for name in ("is_quantized", "quantization_method", "hf_quantizer"):
        if hasattr(model, name):
            delattr(model, name)
    model.to(torch.float32)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


@torch.no_grad()
def as_linear(layer: Any, name: str) -> nn.Linear:
    """A layer of a quantisation library as a plain linear one, in float32. `ValueError` if it can't be applied here."""
    columns: int = layer.in_features
    place = next((t.device for t in (*layer.parameters(), *layer.buffers())), torch.device("cpu"))
    error: Exception | None = None
    for dtype in (torch.float16, torch.bfloat16, torch.float32):  # libraries compute in some of them
        try:
            bias = layer(torch.zeros(1, columns, dtype=dtype, device=place))[0].float()
            weight = layer(torch.eye(columns, dtype=dtype, device=place)).float() - bias
        except (RuntimeError, ValueError, TypeError, AssertionError) as failure:
            error = failure
            continue
        made = nn.Linear(columns, weight.shape[1], bias=bool(bias.any()), device=place)
        made.weight.copy_(weight.T)
        if made.bias is not None:
            made.bias.copy_(bias)
        return made
    raise ValueError(f"the quantised weights of {name} can't be made plain numbers, which training needs: {error}")


def _has(name: str, part: str) -> bool:
    return part in name.split(".")


def _without(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in INSIDE)


def _names(names: set[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:MOST]) + (f" and {len(listed) - MOST} more" if len(listed) > MOST else "")


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "()"


def require_numbers(model: Any, place: str) -> None:
    """`ValueError` if a weight is NaN or infinite: every answer would be nonsense, and every loss NaN."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.is_floating_point() and p.numel() and not (p.min().isfinite() and p.max().isfinite()):  # NaN is both
                raise ValueError(
                    f"{place}: {name} holds weights that are not finite numbers; take another copy of the model"
                )
