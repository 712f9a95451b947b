"""Models and tokenizers from and to disk, in Hugging Face form, so that other tools load what a stage wrote.

Tables (models/tabular.py) are the exception: no other tool knows them.
"""

from __future__ import annotations

import importlib.resources
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from trueward.models import lora, nano, smollm2, tabular, tiny
from trueward.models.network import Network, context_length
from trueward.models.quiet import quiet

MEAN, SD = "trueward_mean", "trueward_sd"  # a reward model's scale, in its config.json
READS, OWN = "trueward_reads", "own"  # how it reads a completion: `own`, as it was trained here, or one of these
NO_CODE: dict[str, Any] = {
    "trust_remote_code": False
}  # else transformers asks on standard input, where prompts come from
TEMPLATES = ("chat", "plain", "pair")


@quiet()
def causal(name: str, seed: int, device: torch.device) -> Network:
    """A causal language model by path, hub name, or one that ships; float32, dropout off, padding a token of its own.

    `ValueError` in one line if there is no such model.
    """
    torch.manual_seed(seed)  # tiny starts from random weights, an added token's embedding too
    if name == "trueward:tiny":
        model, tokenizer = tiny.build()
    elif name == "trueward:nano":
        model, tokenizer = nano.build()
    elif name == "trueward:smollm2":
        return causal(str(smollm2.directory()), seed, device)
    elif tabular.is_tabular(Path(name)):
        model, tokenizer = _load_table(name, tabular.TabularPolicy)
    elif lora.find_adapter(Path(name)) == Path(name):
        return _merged(causal(lora.base_of(Path(name)), seed, device), Path(name))
    else:
        model, tokenizer = _load(AutoModelForCausalLM, _shipped(name))
        _require_end(tokenizer, _shipped(name))
    separate_pad(model, tokenizer)
    return Network(model.to(device).eval(), tokenizer)


@quiet()
def tokenizer(name: str) -> tuple[PreTrainedTokenizerBase, int]:
    """The tokenizer and the context (in tokens) that `causal(name, ...)` has, without a model being made or weights read.

    (`trueward:smollm2` is converted from its package at the very first use.) An added padding token counts in
    `len(tokenizer)`. `ValueError` in one line if there is no such model.
    """
    if name == "trueward:tiny":
        tok, context = tiny.make_tokenizer(), tiny.CONTEXT
    elif name == "trueward:nano":
        tok, context = nano.make_tokenizer(), nano.CONTEXT
    elif name == "trueward:smollm2":
        return tokenizer(str(smollm2.directory()))
    elif tabular.is_tabular(Path(name)):
        with _in_one_line(name, "a table"):
            tok, context = PreTrainedTokenizerFast.from_pretrained(name), tabular.context(Path(name))
    elif lora.find_adapter(Path(name)) == Path(name):
        return tokenizer(lora.base_of(Path(name)))
    else:
        place = _shipped(name)
        require_model(place)
        with _in_one_line(place, "a model"):
            tok = AutoTokenizer.from_pretrained(place, **NO_CODE)
            config = AutoConfig.from_pretrained(place, **NO_CODE).get_text_config()
        _require_end(tok, place)
        _separate_pad_token(tok)
        config.pad_token_id = tok.pad_token_id  # the positions of some models are counted from it
        context = context_length(config)
    return tok, context


@quiet()
def reward(path: str | Path, device: torch.device, template: str = "auto") -> Network:
    """A reward model, ours or any other `AutoModelForSequenceClassification` with one label, by directory or hub name.

    One trained with other tools keeps its padding token, which its forward pass needs. `template`: how it reads a completion,
    `chat` (a conversation through its chat template), `plain` (prompt and response as one text, then end-of-sequence) or
    `pair` (as two texts, for encoders); `auto` takes the first that its tokenizer is made for.
    """
    if tabular.is_tabular(Path(path)):
        model, tokenizer = _load_table(str(path), tabular.TabularScalar, tabular.BagOfWords)
        return Network(model.to(device).eval(), tokenizer)
    if lora.find_adapter(Path(path)) == Path(path):
        model, tokenizer = _reward_adapter(Path(path), device)
    else:
        model, tokenizer = _load(AutoModelForSequenceClassification, str(path))
    config = model.config
    if config.num_labels != 1:
        raise ValueError(f"{path}: a reward model has 1 label, this one has {config.num_labels}")
    if template != "auto":
        setattr(config, READS, template)
    elif not hasattr(config, READS):
        setattr(config, READS, OWN if hasattr(config, SD) else _template(model, tokenizer))
    if getattr(config, READS) == "chat" and not tokenizer.chat_template:
        raise ValueError(f'{path}: reward.template = "chat", but its tokenizer has no chat template')
    if getattr(config, READS) == OWN or (config.pad_token_id is None and tokenizer.pad_token_id is None):
        separate_pad(model, tokenizer)
    elif config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    return Network(model.to(device).eval(), tokenizer)


def _merged(standing: Network, adapter: Path) -> Network:
    """A model with a saved adapter added into its weights."""
    lora.attach(standing.model, adapter, lora.weights_digest(lora.base_of(adapter)))
    return Network(lora.merged(standing.model).requires_grad_(True), standing.tokenizer)


def _reward_adapter(adapter: Path, device: torch.device) -> tuple[Any, PreTrainedTokenizerBase]:
    policy = causal(lora.base_of(adapter), 0, device)
    policy.model.requires_grad_(False)
    model = lora.with_scalar_head(policy.model, AutoConfig.from_pretrained(adapter / lora.MODEL, **NO_CODE))
    network = _merged(Network(model, policy.tokenizer), adapter)
    return network.model, network.tokenizer


def _template(model: Any, tokenizer: PreTrainedTokenizerBase) -> str:
    if tokenizer.chat_template:
        return "chat"
    between = tokenizer.num_special_tokens_to_add(pair=True) > tokenizer.num_special_tokens_to_add(pair=False)
    return "pair" if between and not hasattr(model, "score") else "plain"


@quiet()
def reward_from_policy(path: str | Path, device: torch.device) -> Network:
    """The network of a policy with a scalar head of zeros: where a reward model starts (every reward 0, loss ln 2).

    A table has no network to take over: there it is a bag of words.
    """
    if tabular.is_tabular(Path(path)):
        table, tokenizer = _load_table(str(path), tabular.TabularPolicy)
        bag = tabular.BagOfWords(table.config.vocab_size, table.config.max_position_embeddings)
        return Network(bag.to(device).eval(), tokenizer)
    model, tokenizer = _load(AutoModelForSequenceClassification, str(path), num_labels=1)
    _require_end(tokenizer, str(path))
    separate_pad(model, tokenizer)
    nn.init.zeros_(model.score.weight)
    return Network(model.to(device).eval(), tokenizer)


def _load_table(place: str, *kinds: type) -> tuple[Any, PreTrainedTokenizerBase]:
    with _in_one_line(place, "a table"):
        model = tabular.load(Path(place))
        tokenizer = PreTrainedTokenizerFast.from_pretrained(place)
    if not isinstance(model, kinds):
        raise ValueError(
            f"{place}: expected a {' or '.join(k.__name__ for k in kinds)}, this is a {type(model).__name__}"
        )
    return model, tokenizer


def _load(kind: Any, place: str, **settings: Any) -> tuple[Any, PreTrainedTokenizerBase]:
    require_model(place)
    with _in_one_line(place, "a model"):
        tokenizer = AutoTokenizer.from_pretrained(place, **NO_CODE)
        # attention "sdpa" and float32: the same numbers wherever it is loaded
        model = kind.from_pretrained(place, dtype=torch.float32, **NO_CODE, **settings)
    _require_numbers(model, place)
    return model, tokenizer


def _require_numbers(model: nn.Module, place: str) -> None:
    """`ValueError` if a weight is NaN or infinite: every answer would be nonsense, and every loss NaN."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.numel() and not (p.min().isfinite() and p.max().isfinite()):  # NaN is both
                raise ValueError(
                    f"{place}: {name} holds weights that are not finite numbers; take another copy of the model"
                )


def _shipped(name: str) -> str:
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


def _require_end(tokenizer: PreTrainedTokenizerBase, place: str) -> None:
    if tokenizer.eos_token_id is None:
        raise ValueError(f"{place}: its tokenizer has no end-of-sequence token, so no answer could ever end")


@contextmanager
def _in_one_line(place: str, kind: str) -> Iterator[None]:
    """Whatever the libraries raise for a broken directory or an unknown name, as a `ValueError` of one line."""
    try:
        yield
    except pickle.UnpicklingError:
        raise ValueError(
            f"{place}: its weights are no plain numbers but code, which is not run; use safetensors"
        ) from None
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{place}: can't be loaded as {kind}: {reason}") from None


def separate_pad(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make padding a token of its own: a reward is read at the last token that isn't padding, and that may be the end."""
    if _separate_pad_token(tokenizer) and len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer))
    model.config.pad_token_id = tokenizer.pad_token_id
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id


def _separate_pad_token(tokenizer: PreTrainedTokenizerBase) -> bool:
    """The tokenizer's part of it, once for all. Whether a token was added."""
    end = tokenizer.eos_token_id
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id != end:
        return False
    # Not the unknown token, which can be an answer's last; the opening one never is.
    if tokenizer.bos_token is not None and tokenizer.bos_token_id != end:
        tokenizer.pad_token = tokenizer.bos_token
        return False
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    return True


@quiet()
def save(network: Network, path: Path) -> None:
    """Write model and tokenizer into a fresh directory that replaces `path`; an adapter as `network.form` says."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    if lora.is_adapted(network.model):
        _save_adapted(network, path)
    else:
        network.model.save_pretrained(path)
    network.tokenizer.save_pretrained(path)


def _save_adapted(network: Network, path: Path) -> None:
    """The merged model with its adapter beside it, or the adapter alone; without a base on disk the merged model alone."""
    alone = network.base is not None and network.form == "adapter"
    if alone:
        network.model.config.to_json_file(path / lora.MODEL)
    else:
        lora.merged(network.model).save_pretrained(path)
    if network.base is not None:
        lora.save(network.model, path if alone else path / lora.FOLDER, network.base.place, network.base.digest)


def parameters(model: nn.Module) -> int:
    """How many parameters a model has, shared ones once."""
    return sum(p.numel() for p in model.parameters())


def pick_device(name: str) -> torch.device:
    """`auto`: CUDA, then MPS, then the CPU."""
    if name != "auto":
        if name.startswith("cuda") and not torch.cuda.is_available():
            raise ValueError(f"runtime.device: {name} is not to be had on this machine; use auto or cpu")
        if name == "mps" and not torch.backends.mps.is_available():
            raise ValueError("runtime.device: mps is not to be had on this machine; use auto or cpu")
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
