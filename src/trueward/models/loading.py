"""Models from and to disk, in Hugging Face form, so that everybody's tools load what a stage wrote.

Tables (models/tabular.py) are the exception: no other tool knows them.
"""

from __future__ import annotations

import importlib.resources
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from transformers.utils import logging as hf_logging

from trueward.models import lora, nano, smollm2, tabular, tiny

if TYPE_CHECKING:
    from trueward.models.bases import Base

# Progress bars and load reports of the library would stand between our own lines; a missing head is no surprise here.
hf_logging.disable_progress_bar()
hf_logging.set_verbosity_error()

MEAN, SD = "trueward_mean", "trueward_sd"  # a reward model's scale, in its config.json
READS, OWN = "trueward_reads", "own"  # how it reads a completion: `own`, as it was trained here, or one of these
TEMPLATES = ("chat", "plain", "pair")

COUNTED_FROM_PAD = frozenset(
    {"roberta", "xlm-roberta", "camembert"}
)  # their first position is after the pad token's id


@dataclass(frozen=True)
class Network:
    """A model and the tokenizer that goes with it."""

    model: Any  # a transformers model; its classes carry no types
    tokenizer: PreTrainedTokenizerBase
    base: Base | None = None  # whose weights it shares, if it shares them
    form: str = "merged"  # what an adapter is written as: "merged" or "adapter"

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)

    @property
    def context(self) -> int:
        """The longest sequence the model takes, in tokens."""
        config = self.model.config
        places = int(getattr(config, "max_position_embeddings", None) or 10**9)
        if config.model_type in COUNTED_FROM_PAD:
            places -= config.pad_token_id + 1
        return places


def causal(name: str, seed: int, device: torch.device) -> Network:
    """A causal language model by path, hub name, or one that ships; float32, dropout off, pad apart from the end.

    Raises `ValueError` in one line if there is no such model.
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
    elif lora.beside(Path(name)) == Path(name):
        return _merged(causal(lora.base_of(Path(name)), seed, device), Path(name))
    else:
        place = str(importlib.resources.files("trueward") / "assets" / "base") if name == "trueward:base" else name
        model, tokenizer = _load(AutoModelForCausalLM, place)
    separate_pad(model, tokenizer)
    return Network(model.to(device).eval(), tokenizer)


def reward(path: str | Path, device: torch.device, template: str = "auto") -> Network:
    """A reward model, ours or any other `AutoModelForSequenceClassification` with one label, by directory or hub name.

    One from elsewhere keeps its padding token, which its forward pass looks for. `template`: how it reads a completion,
    `chat` (a conversation through its chat template), `plain` (prompt and response as one text, then end-of-sequence) or
    `pair` (as two texts, for encoders); `auto` takes the first that its tokenizer is made for.
    """
    if tabular.is_tabular(Path(path)):
        model, tokenizer = _load_table(str(path), tabular.TabularScalar, tabular.BagOfWords)
        return Network(model.to(device).eval(), tokenizer)
    if lora.beside(Path(path)) == Path(path):
        model, tokenizer = _reward_adapter(Path(path), device)
    else:
        model, tokenizer = _load(AutoModelForSequenceClassification, str(path), ends=False)
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
    from trueward.models.bases import digest

    lora.attach(standing.model, adapter, digest(lora.base_of(adapter)))
    return Network(lora.merged(standing.model).requires_grad_(True), standing.tokenizer)


def _reward_adapter(adapter: Path, device: torch.device) -> tuple[Any, PreTrainedTokenizerBase]:
    policy = causal(lora.base_of(adapter), 0, device)
    policy.model.requires_grad_(False)
    model = lora.with_scalar_head(policy.model, AutoConfig.from_pretrained(adapter / lora.MODEL))
    network = _merged(Network(model, policy.tokenizer), adapter)
    return network.model, network.tokenizer


def _template(model: Any, tokenizer: PreTrainedTokenizerBase) -> str:
    if tokenizer.chat_template:
        return "chat"
    between = tokenizer.num_special_tokens_to_add(pair=True) > tokenizer.num_special_tokens_to_add(pair=False)
    return "pair" if between and not hasattr(model, "score") else "plain"


def reward_from_policy(path: str | Path, device: torch.device) -> Network:
    """The network of a policy with a scalar head of zeros: where a reward model starts (every reward 0, loss ln 2).

    A table has no network to take over: there it is a bag of words.
    """
    if tabular.is_tabular(Path(path)):
        table, tokenizer = _load_table(str(path), tabular.TabularPolicy)
        bag = tabular.BagOfWords(table.config.vocab_size, table.config.max_position_embeddings)
        return Network(bag.to(device).eval(), tokenizer)
    model, tokenizer = _load(AutoModelForSequenceClassification, str(path), num_labels=1)
    separate_pad(model, tokenizer)
    nn.init.zeros_(model.score.weight)
    return Network(model.to(device).eval(), tokenizer)


def _load_table(place: str, *kinds: type) -> tuple[Any, PreTrainedTokenizerBase]:
    try:
        model = tabular.load(Path(place))
        tokenizer = PreTrainedTokenizerFast.from_pretrained(place)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{place}: can't be loaded as a table: {reason}") from None
    if not isinstance(model, kinds):
        raise ValueError(
            f"{place}: expected a {' or '.join(k.__name__ for k in kinds)}, this is a {type(model).__name__}"
        )
    return model, tokenizer


def _load(kind: Any, place: str, ends: bool = True, **settings: Any) -> tuple[Any, PreTrainedTokenizerBase]:
    path = Path(place)
    if path.is_dir() and not (path / "config.json").is_file():
        raise ValueError(f"{place}: not a model directory (it has no config.json)")
    if path.is_file():
        raise ValueError(f"{place}: expected a model's directory, this is a file")
    if not path.exists() and (path.is_absolute() or place.startswith((".", "~")) or place.count("/") > 1):
        raise ValueError(f"{place}: no such model directory")
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
        # attention "sdpa" and float32: the same numbers wherever it is loaded
        model = kind.from_pretrained(place, dtype=torch.float32, **settings)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{place}: can't be loaded as a model: {reason}") from None
    if ends and tokenizer.eos_token_id is None:
        raise ValueError(f"{place}: its tokenizer has no end-of-sequence token, so no answer could ever end")
    return model, tokenizer


def separate_pad(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make padding a token of its own: a reward is read at the last token that isn't padding, and that may be the end."""
    end = tokenizer.eos_token_id
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == end:
        # Not the unknown token, which can be an answer's last; the opening one never is.
        if tokenizer.bos_token is not None and tokenizer.bos_token_id != end:
            tokenizer.pad_token = tokenizer.bos_token
        else:
            tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
            if len(tokenizer) > model.get_input_embeddings().num_embeddings:
                model.resize_token_embeddings(len(tokenizer))
    model.config.pad_token_id = tokenizer.pad_token_id
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id


def save(network: Network, path: Path) -> None:
    """Write model and tokenizer into a fresh directory."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    if lora.is_adapted(network.model):
        _save_adapted(network, path)
    else:
        network.model.save_pretrained(path)
    network.tokenizer.save_pretrained(path)


def _save_adapted(network: Network, path: Path) -> None:
    """A whole model with its adapter beside it, or the adapter alone. One that nothing else shares is merged, and gone."""
    alone = network.base is not None and network.form == "adapter"
    if alone:
        network.model.config.to_json_file(path / lora.MODEL)
    else:
        lora.merged(network.model).save_pretrained(path)
    if network.base is not None:
        lora.save(network.model, path if alone else path / lora.FOLDER, network.base.place, network.base.digest)


def parameters(model: nn.Module) -> int:
    """How many numbers a model learns, shared ones once."""
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
