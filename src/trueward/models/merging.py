"""A run's model as one plain transformers directory: adapters added into the weights, nothing but transformers needed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch

from trueward.artifacts import flush, sync_directory, writing
from trueward.models import loading, tabular
from trueward.models.quiet import quiet
from trueward.models.run_paths import is_model

FOLDERS = {"policy": "policy/model", "best": "policy/best", "sft": "sft/model"}  # of a run's models, in its directory
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def run_model(run: Path, which: str) -> Path:
    """The directory of a run's `policy`, `best` or `sft` model. `ValueError` if it has none, or it is a table."""
    if which not in FOLDERS:
        raise ValueError(f"--model {which}: expected one of {', '.join(FOLDERS)}")
    folder = run / FOLDERS[which]
    if not is_model(folder):
        there = [name for name, place in FOLDERS.items() if is_model(run / place)]
        raise ValueError(f"{run}: has no {which} model yet; it has {', '.join(there) or 'none at all'}")
    if tabular.is_tabular(folder):
        raise ValueError(f"{folder}: is a table, which no other tool can load; a transformer can be merged")
    return folder


def refuse_full(folder: Path) -> None:
    """`ValueError` if there is something in the way of a new directory."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()) or (folder.is_dir() and any(folder.iterdir())):
        raise ValueError(f"{folder}: is there already and not empty; give another --out, or remove it")


@quiet()
def merge(source: Path, target: Path, dtype: str = "float32", texts: Mapping[str, str] = MappingProxyType({})) -> int:
    """Write the model in `source`, merged, with tokenizer, chat template and generation settings; bytes of its weights.

    texts: further files by name, e.g. a model card. All is written beside `target` and renamed, so `target` is there whole or
    not at all. `ValueError` if something is there.
    """
    if dtype not in DTYPES:
        raise ValueError(f"--dtype {dtype}: expected one of {', '.join(DTYPES)}")
    refuse_full(target)
    network = loading.causal(str(source), 0, torch.device("cpu"), torch.float32)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.absolute().with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        with writing(target):
            network.model.to(DTYPES[dtype]).save_pretrained(fresh)
            network.tokenizer.save_pretrained(fresh)
            for name, text in texts.items():
                (fresh / name).write_text(text, encoding="utf-8")
            for file in fresh.iterdir():
                flush(file)
            fresh.replace(target)
        sync_directory(target.absolute().parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return sum(file.stat().st_size for file in target.glob("*.safetensors"))
