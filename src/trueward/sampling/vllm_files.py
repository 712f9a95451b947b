"""A policy as files that vLLM loads: a whole model, its weights alone, or its adapter alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from trueward.artifacts import write_json
from trueward.models import lora
from trueward.models.network import Network
from trueward.models.quiet import quiet

WEIGHTS = "model.safetensors"
TIED_INSIDE = ("gemma",)  # families of which vLLM knows a tied head only, and reads it from the embedding


@quiet()
def write_model(network: Network, folder: Path, dtype: torch.dtype) -> None:
    """The whole model: configuration, tokenizer, weights in `dtype`. Of an adapted one what its adapter stands on.

    A head that is tied to the embedding is written as one of its own: vLLM 0.32 loads new embeddings into a tied model and
    leaves the head as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = network.model
    table = model.config.to_diff_dict() | {"architectures": [type(model).__name__]}
    table |= {"dtype": str(dtype).removeprefix("torch."), "model_type": model.config.model_type}
    if not _keeps_tie(model):
        table["tie_word_embeddings"] = False
    network.tokenizer.save_pretrained(folder)
    write_json(folder / "config.json", table)
    write_weights(network, folder, dtype)


def write_weights(network: Network, folder: Path, dtype: torch.dtype) -> None:
    """The weights alone, in a directory where `write_model` has been: a reader sees the old file or the new one."""
    tensors, written = {}, set()
    for name, tensor in _tensors(network.model):
        place = tensor.data_ptr()
        kept = tensor.detach().to("cpu", dtype if tensor.is_floating_point() else tensor.dtype)
        tensors[name] = kept.clone() if place in written else kept.contiguous()
        written.add(place)
    fresh = folder / f".{WEIGHTS}.{os.getpid()}.tmp"
    save_file(tensors, fresh, metadata={"format": "pt"})
    fresh.replace(folder / WEIGHTS)


def write_adapter(network: Network, folder: Path) -> None:
    """The adapter alone, as peft writes it."""
    shutil.rmtree(folder, ignore_errors=True)
    lora.save(network.model, folder, "", "")


def adapter_rank(network: Network) -> int:
    """The rank of the policy's adapter; 0 without one."""
    return int(network.model.peft_config[lora.NAME].r) if lora.is_adapted(network.model) else 0


def _keeps_tie(model: Any) -> bool:
    return not model.config.tie_word_embeddings or model.config.model_type.startswith(TIED_INSIDE)


def _tensors(model: Any) -> Iterator[tuple[str, Tensor]]:
    """The model's weights by the names that a plain model has for them, a tied head's last."""
    head = model.get_output_embeddings()
    prefix = next((f"{name}." for name, module in model.named_modules() if module is head), None)
    leaves_out = model.config.tie_word_embeddings and _keeps_tie(model)
    for name, tensor in model.state_dict().items():
        if ".lora_" in name or (leaves_out and prefix is not None and name.startswith(prefix)):
            continue
        yield name.replace(".base_layer.", "."), tensor
