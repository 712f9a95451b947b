"""Low-rank adapters: a linear layer computes W·x + s·B·(A·x) with W frozen, B zero at first, s = alpha / rank.

Source: LoRA (Hu et al. 2021, arXiv 2106.09685), through peft. Models that differ by their adapters alone share their
weights: each is a tree of modules of its own whose frozen parameters are the same objects, so adapters are never swapped.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trueward.artifacts import read_json, write_json
from trueward.config import LoraConfig
from trueward.extras import require
from trueward.models import nf4, precision
from trueward.models.adapter_base import BASE, CONFIG, PLACE, WEIGHTS, metadata, place_in_run

NAME, HEAD = "default", "score"
MODEL = (
    "model_config.json"  # an adapter's model's; were it called config.json, transformers would look for whole weights
)
LAYERS = ("layers_to_transform", "layers_pattern")  # peft's names for which layers have an adapter
INSIDE = "base_model.model."  # what peft calls the model in an adapter's file


def is_adapted(model: Any) -> bool:
    """Whether the model has an adapter."""
    return hasattr(model, "peft_config")


def own_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that no other network shares: all of them, or with an adapter its own and those of a scalar head."""
    named = dict(model.named_parameters())
    if not is_adapted(model):
        return named
    return {name: p for name, p in named.items() if ".lora_" in name or name.startswith(f"{HEAD}.")}


def clone_sharing_frozen(model: Any) -> Any:
    """A second model: frozen parameters and buffers are shared, trainable ones are copied.

    With an adapter, its parameters and a scalar head's are copied too, trainable or not.
    """
    mine = {id(p) for p in (own_parameters(model).values() if is_adapted(model) else ()) if p is not None}
    mine |= {id(p) for p in model.parameters() if p.requires_grad}
    shared = [t for t in (*model.parameters(), *model.buffers()) if id(t) not in mine]
    return copy.deepcopy(model, {id(t): t for t in shared})


def adapt(model: Any, config: LoraConfig, seed: int, layers: Sequence[int] = ()) -> None:
    """Put a fresh adapter on every target, in place. It changes no output: B is zero. A comes from `seed`.

    layers: the numbers of those that get one; empty: all.
    """
    refuse_table(model)
    require("lora.rank: adapters need", "lora")
    from peft import LoraConfig as PeftConfig

    names = _targets(model, config.targets)
    settings = PeftConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=names,
        layers_to_transform=list(layers) or None,
        lora_dropout=0.0,
        bias="none",
        fan_in_fan_out=any(not isinstance(m, nn.Linear) for _, m in _linear(model)),
        task_type="SEQ_CLS" if hasattr(model, HEAD) else "CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _inject(settings, model)


def refuse_table(model: Any) -> None:
    """`ValueError` for a model without linear layers."""
    if model.config.model_type == "tabular":
        raise ValueError("lora.rank: a table has no linear layers for an adapter; it takes 0")


def weight(layer: Any) -> Tensor:
    """A layer's effective weights: W, or W + s·B·A if there's an adapter on it. In the layer's own layout."""
    if not hasattr(layer, "lora_A"):
        plain: Tensor = layer.weight
        return plain
    with torch.no_grad():
        base: Tensor = layer.base_layer.weight
        base = base.float() if base.dtype is precision.LOW else base
        summed: Tensor = base + layer.get_delta_weight(NAME)
        return summed


def factors(layer: Any) -> tuple[Tensor, Tensor, float] | None:
    """A [r, k], B [m, r] and s of the adapter on a linear layer; None without one."""
    if not hasattr(layer, "lora_A"):
        return None
    down, up = layer.lora_A[NAME].weight.detach(), layer.lora_B[NAME].weight.detach()
    return down, up, float(layer.scaling[NAME])


def merged(model: Any) -> Any:
    """The same model with its adapter added into the weights, as a plain one; `model` stays as it is. Itself without one.

    One in four bits becomes plain numbers in the host's memory: a device that it was chosen for may have no room for them.
    """
    if not is_adapted(model):
        return model
    plain = in_plain_numbers(model) if nf4.is_quantized(model) else clone_sharing_frozen(model)
    for name, layer in list(plain.named_modules()):
        if hasattr(layer, "lora_A"):
            parent, _, leaf = name.rpartition(".")
            # peft writes into the parameter that it finds, and this one is other networks', too: it gets one of its own.
            base: Tensor = layer.base_layer.weight.detach()
            base = base.float() if base.dtype is precision.LOW else base
            layer.base_layer.weight = nn.Parameter(base, requires_grad=False)
            layer.merge(safe_merge=True, adapter_names=[NAME])  # in a copy of the numbers; refuses NaN
            setattr(plain.get_submodule(parent), leaf, layer.get_base_layer())
    del plain.peft_config
    return plain


def in_plain_numbers(model: Any) -> Any:
    """A second model whose layers in four bits are plain ones, in the host's memory; adapters stay on them."""
    copied = nf4.placed(clone_sharing_frozen(model), torch.device("cpu"))
    for name, layer in list(copied.named_modules()):
        if isinstance(layer, nf4.Nf4Linear):
            parent, _, leaf = name.rpartition(".")
            setattr(copied.get_submodule(parent), leaf, nf4.plain(layer))
    return copied


def with_scalar_head(policy: Any, config: Any) -> Any:
    """A policy's trunk, shared, with a scalar head of zeros, as the `AutoModelForSequenceClassification` of its family.

    config: the new model's. `ValueError` if the family has no single scalar head.
    """
    from transformers import AutoModelForSequenceClassification

    if type(config) not in AutoModelForSequenceClassification._model_mapping:
        raise ValueError(
            f"no reward model and no value network can be made from the family {config.model_type!r}: transformers has none of "
            "it with a head of one number"
        )
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    trunk = clone_sharing_frozen(policy.base_model)
    setattr(model, model.base_model_prefix, trunk)
    head = getattr(model, HEAD, None)
    if not isinstance(head, nn.Linear):
        raise ValueError(
            f"no reward model and no value network can be made from the family {config.model_type!r}: "
            "its head can't stand alone"
        )
    model.score = nn.Linear(head.in_features, head.out_features, head.bias is not None, device=policy.device)
    for p in model.score.parameters():
        nn.init.zeros_(p)
    precision.settle(model, precision.of(policy))
    assert policy.device.type == "meta" or not any(t.is_meta for t in (*model.parameters(), *model.buffers()))
    return model.eval()


def save(model: Any, folder: Path, base: str, digest: str) -> None:
    """Write the adapter alone as peft reads it. base: path or name of the weights that it is for; digest: theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = model.peft_config[NAME].to_dict() | {"base_model_name_or_path": base, "inference_mode": True}
    if hasattr(model, HEAD):
        settings["modules_to_save"] = [HEAD]
    write_json(folder / CONFIG, {k: sorted(v) if isinstance(v, set) else v for k, v in settings.items()})
    if (place := place_in_run(base, folder)) is not None:
        write_json(folder / PLACE, {"place": place})
    from peft import get_peft_model_state_dict

    tensors = get_peft_model_state_dict(model, adapter_name=NAME, save_embedding_layers=False)
    tensors |= {name: p for name, p in own_parameters(model).items() if name.startswith(f"{HEAD}.")}
    tensors = {INSIDE + name: t.detach().contiguous() for name, t in sorted(tensors.items())}
    stands = f"{digest} {nf4.KIND}" if nf4.is_quantized(model) else digest
    save_file(tensors, folder / WEIGHTS, metadata={BASE: stands})  # of two keys the order would be chance


def attach(model: Any, folder: Path, digest: str) -> None:
    """Put a saved adapter on, in place. digest: that of the model's weights.

    `ValueError` if it isn't a plain LoRA adapter, or was trained on other weights.
    """
    require(f"{folder}: an adapter needs", "lora")
    from peft import LoraConfig as PeftConfig

    table = read_json(folder / CONFIG)
    odd = [k for k in ("use_dora", "lora_bias", "rank_pattern", "alpha_pattern") if table.get(k)]
    odd += ["modules_to_save"] * (table.get("modules_to_save") not in (None, [], [HEAD]))
    if table.get("peft_type") != "LORA" or odd or table.get("bias", "none") != "none":
        raise ValueError(
            f"{folder / CONFIG}: expected a plain LoRA adapter, got {odd[0] if odd else table.get('peft_type')}"
        )
    stands = metadata(folder).get(BASE, "").removesuffix(f" {nf4.KIND}")
    if stands and digest and stands != digest:
        raise ValueError(f"{folder}: its base has changed since this adapter was trained")
    known = ("r", "lora_alpha", "target_modules", "fan_in_fan_out", "task_type", "use_rslora", *LAYERS)
    settings = PeftConfig(lora_dropout=0.0, bias="none", **{k: table[k] for k in known if k in table})
    _inject(settings, model)
    try:
        saved = {n.removeprefix(INSIDE): t for n, t in load_file(folder / WEIGHTS).items()}
        with torch.no_grad():
            for name, p in own_parameters(model).items():
                p.copy_(saved.pop(name.replace(f".{NAME}.", ".")))
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{folder / WEIGHTS}: not the adapter that {CONFIG} describes: {error}") from None
    if saved:
        raise ValueError(f"{folder / WEIGHTS}: {next(iter(saved))} has no place in the model that it is for")


def _inject(settings: Any, model: Any) -> None:
    from peft import inject_adapter_in_model

    inject_adapter_in_model(settings, model, NAME)
    if hasattr(model, HEAD):  # it is trained, so no other network may share it
        head = getattr(model, HEAD)
        for name, p in list(head.named_parameters()):
            setattr(head, name, nn.Parameter(p.detach().clone()))
    for name, p in model.named_parameters():
        p.requires_grad_(".lora_" in name or name.startswith(f"{HEAD}."))
    precision.masters(model)  # peft gives an adapter the type of what it stands on
    model.eval()


def _targets(model: Any, wanted: str | tuple[str, ...]) -> list[str]:
    """The last part of the names of the layers that are meant."""
    there = sorted({name.rpartition(".")[2] for name, _ in _linear(model)})
    names = there if wanted == "all-linear" else sorted(set(wanted))
    if unknown := [n for n in names if n not in there]:
        raise ValueError(f"lora.targets: {unknown[0]!r} is no linear layer of this model; there are {', '.join(there)}")
    return names


def _linear(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """The trunk's linear layers; GPT-2's are of a class of their own."""
    from transformers.pytorch_utils import Conv1D

    return ((n, m) for n, m in model.base_model.named_modules() if isinstance(m, nn.Linear | Conv1D))
