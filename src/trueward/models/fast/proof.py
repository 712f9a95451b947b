"""Whether a fast path computes what transformers does, tried on a miniature of the model: its settings, a few features wide.

A configuration may hold what the fast paths know nothing of, today or with transformers' next version. So before one is taken
it has to give the numbers of the library's own forward pass, on random weights, with a window shorter than the text; once for
every configuration that a process meets (hundredths of a second). Where it doesn't, the general path is taken.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from trueward.batches import Tokens
from trueward.tracking import beats

WINDOW, WORDS, LAYERS = 3, 23, 2
CLOSE = 1e-4  # of states whose size is about 1
A, B = [3, 9, 12, 7], [4, 8]
PAIRS = [(A, [20, 11, 2, 6]), (B, [15, 14, 10, 3, 2]), (A, [17, 5])]
CAPS, CAP = ("attn_logit_softcapping", "final_logit_softcapping"), 1.5  # low enough to be seen in small numbers
PER_LAYER = ("layer_types", "no_rope_layers")
OF_NO_ACCOUNT = (
    "_name_or_path",
    "architectures",
    "transformers_version",
    "dtype",
    "id2label",
    "label2id",
    "initializer_range",
)

Check = Callable[[Any, Tokens], tuple[Tensor, Tensor]]
_of_model: dict[str, WeakKeyDictionary[nn.Module, bool]] = {}
_of_config: dict[tuple[str, str], bool] = {}


def holds(name: str, model: Any, fits: Callable[[Any], bool], check: Check) -> bool:
    """Whether a fast path fits the model, and a miniature of the model passes a check. It's tried once.

    name: the path's, by which what was found is kept. check: from a miniature and a batch, two tensors that have to be equal.
    """
    known = _of_model.setdefault(name, WeakKeyDictionary())
    if model not in known:
        known[model] = fits(model) and _is_proven(name, model, check)
    return known[model]


def _is_proven(name: str, model: Any, check: Check) -> bool:
    config = miniature(model.config)
    told = {k: v for k, v in config.to_dict().items() if k not in OF_NO_ACCOUNT and not k.startswith("trueward")}
    key = name, json.dumps(told, sort_keys=True, default=str)
    if key not in _of_config:
        # In a thread of its own: no autocast, no default device, no mode of torch's that is on in this one.
        with ThreadPoolExecutor(1) as alone, beats.watched_by(beats.Watcher()):
            _of_config[key] = alone.submit(_passes, config, check).result()
    return _of_config[key]


def miniature(config: Any) -> Any:
    """The configuration of the same model, a few features wide."""
    small = copy.deepcopy(config)
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    size = getattr(config, "head_dim", None)
    changes = {
        "vocab_size": WORDS,
        "hidden_size": 24 if size else 2 * (config.hidden_size // heads),
        "intermediate_size": 20,
        "num_attention_heads": 2,
        "num_key_value_heads": 1 if groups < heads else 2,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if getattr(config, "sliding_window", None):
        changes["sliding_window"] = WINDOW
    kinds = list(zip(*(getattr(config, k, None) or [None] * config.num_hidden_layers for k in PER_LAYER), strict=False))
    keep = max([LAYERS, *(kinds.index(kind) + 1 for kind in set(kinds))])
    changes["num_hidden_layers"] = min(keep, config.num_hidden_layers)
    for name in CAPS:
        if getattr(config, name, None):
            changes[name] = CAP
    for name in PER_LAYER:
        if given := getattr(config, name, None):
            changes[name] = list(given[: changes["num_hidden_layers"]])
    for name, value in changes.items():
        setattr(small, name, value)
    return small


@torch.no_grad()
def _passes(config: Any, check: Check) -> bool:
    try:
        with torch.random.fork_rng(devices=[]):
            made = _made(config)
        found, expected = check(made, Tokens.collate(PAIRS, 0))
    except Exception:  # whatever is unknown about it, the general path is transformers' own code
        return False
    return bool(torch.isfinite(found).all()) and torch.allclose(found, expected, atol=CLOSE, rtol=CLOSE)


def _made(config: Any) -> Any:
    """A miniature with random weights, norms and biases among them, whose attention is transformers' written out in Python."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    draw = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        spread = 0.3 if parameter.ndim == 1 else parameter.shape[-1] ** -0.5
        parameter.add_(torch.randn(parameter.shape, generator=draw) * spread)
    return model
