"""Where a model is, and what is wrong with what is there, in one line."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from transformers import AutoConfig
from transformers.utils import cached_file

from trueward.artifacts import read_json
from trueward.extras import pip

LIBRARIES = {  # by what config.json calls a method of quantisation, the packages that read such weights
    "awq": "gptqmodel",
    "aqlm": "aqlm",
    "auto-round": "auto-round",
    "bitsandbytes": "bitsandbytes",
    "bitsandbytes_4bit": "bitsandbytes",
    "bitsandbytes_8bit": "bitsandbytes",
    "compressed-tensors": "compressed-tensors",
    "eetq": "kernels",
    "gptq": "gptqmodel optimum",
    "higgs": "flute-kernel",
    "hqq": "hqq",
    "quanto": "optimum-quanto",
    "quark": "amd-quark",
    "torchao": "torchao",
    "vptq": "vptq",
}


def shipped(name: str) -> str:
    """The directory of the base model that ships; any other name as it is."""
    return str(importlib.resources.files("trueward") / "assets" / "base") if name == "trueward:base" else name


def require_model(place: str) -> None:
    """`ValueError` for a path that can't be a model's directory; a name may be the hub's."""
    path = Path(place)
    if path.is_dir() and not (path / "config.json").is_file():
        raise ValueError(f"{place}: not a model directory (it has no config.json)")
    if path.is_file():
        raise ValueError(f"{place}: expected a model's directory, this is a file")
    if not path.exists() and (path.is_absolute() or place.startswith((".", "~")) or place.count("/") > 1):
        raise ValueError(f"{place}: no such model directory")


def read_config(place: str) -> Any:
    """A model's configuration. Its attention is the one that transformers chooses, whatever kernel the file names."""
    config = AutoConfig.from_pretrained(place, trust_remote_code=False)
    if config._attn_implementation is not None:
        config._attn_implementation = None
    return config


def quantisation(config: Any) -> str:
    """The method by which a model's weights are quantised, as its config.json names it; empty for plain numbers."""
    table = getattr(config, "quantization_config", None) or {}
    method = table.get("quant_method") if isinstance(table, dict) else getattr(table, "quant_method", "")
    return str(getattr(method, "value", method) or "")


def find_file(place: str, name: str, fetch: bool = True) -> Path | None:
    """A file of a model, in its directory or from the hub; None if there is none, or the hub can't be reached.

    fetch: whether the hub is asked for it; else only what was fetched before counts.
    """
    if Path(place).is_dir():
        path = Path(place) / name
        return path if path.is_file() else None
    try:
        got = cached_file(place, name, local_files_only=not fetch)
    except (OSError, ValueError, EntryNotFoundError, LocalEntryNotFoundError):
        return None
    return Path(got) if got else None


@contextmanager
def in_one_line(place: str, kind: str) -> Iterator[None]:
    """Whatever the libraries raise for a broken directory or an unknown name, as a `ValueError` of one line."""
    try:
        yield
    except ImportError as error:
        raise ValueError(f"{place}: can't be loaded as {kind}: {_missing(place, error)}") from None
    except Exception as error:  # the libraries' own errors are of many kinds
        if "trust_remote_code" in str(error):
            raise ValueError(
                f"{place}: can't be loaded as {kind}: it needs Python code of its own (auto_map), which trueward never "
                "runs; give a model of a family that transformers knows"
            ) from None
        raise ValueError(f"{place}: can't be loaded as {kind}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """What a library's error says, in one line."""
    if "Weights only load failed" in str(error) or type(error).__name__ == "UnpicklingError":
        return "its files hold Python objects beside tensors, which trueward never makes; save it as safetensors"
    if isinstance(error, KeyError):
        return f"it names {error}, which nothing here knows"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(part.strip() for part in lines[: 2 if lines[0].rstrip().endswith(":") else 1])


def _missing(place: str, error: ImportError) -> str:
    """Which package is missing, and the command that installs it."""
    config = find_file(place, "config.json")
    table = read_json(config).get("quantization_config") if config else None
    method = str(table.get("quant_method", "")) if isinstance(table, dict) else ""
    if method:
        package = LIBRARIES.get(method, method)
        return f"its weights are quantised ({method}), and what reads them is not installed: {pip()} install {package}"
    return str(error).strip().splitlines()[0]
