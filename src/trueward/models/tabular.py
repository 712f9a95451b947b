"""Models that are a table: the state is the last few tokens, the row holds its logits. For small experiments, not for text.

`order` 1 is a bigram model; an order as long as the longest sequence is any policy at all, so whatever an optimiser
learns there can be compared with the optimum computed by enumeration. They go through the same loops and the same sampler
as networks do. Saved as config.json and model.safetensors, not in the form of the Hugging Face libraries.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import WordLevel
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

SPECIAL = ("<|pad|>", "<|begin|>", "<|end|>")


class _TabularModel(nn.Module):
    """The base of the tables: the state after each token, saving and loading."""

    def __init__(self, vocabulary: int, order: int, context: int, **more: Any) -> None:
        super().__init__()
        self.config = SimpleNamespace(
            model_type="tabular",
            vocab_size=vocabulary,
            order=order,
            max_position_embeddings=context,
            pad_token_id=0,
            num_labels=1,
            **more,
        )

    @property
    def device(self) -> torch.device:
        """The device of the table."""
        return next(self.parameters()).device

    @property
    def states(self) -> int:
        """How many states there are: the rows of a table."""
        return int(self.config.vocab_size**self.config.order)

    def state(self, ids: Tensor) -> Tensor:
        """[B, T] -> [B, T]: the last `order` tokens as one number; what is before the beginning counts as padding."""
        vocabulary, order = self.config.vocab_size, self.config.order
        states = torch.zeros_like(ids)
        for back in range(order):
            shifted = torch.zeros_like(ids)
            shifted[:, back:] = ids[:, : max(0, ids.shape[1] - back)]
            states = states + shifted * vocabulary**back
        return states

    def save_pretrained(self, path: Path) -> None:
        """Write config.json and model.safetensors into a directory."""
        (path / "config.json").write_text(json.dumps(vars(self.config), indent=1) + "\n", encoding="utf-8")
        save_file({k: v.detach().contiguous() for k, v in self.state_dict().items()}, path / "model.safetensors")


class TabularPolicy(_TabularModel):
    """π(token | last `order` tokens) = softmax of a row."""

    def __init__(self, vocabulary: int, order: int, context: int) -> None:
        super().__init__(vocabulary, order, context)
        self.table = nn.Parameter(torch.zeros(self.states, vocabulary))

    def forward(self, input_ids: Tensor, **_: Any) -> SimpleNamespace:
        """logits [B, T, V]."""
        return SimpleNamespace(logits=functional.embedding(self.state(input_ids), self.table))


class TabularScalar(_TabularModel):
    """A number for every state: a value function, or a reward that depends on the last `order` tokens."""

    def __init__(self, vocabulary: int, order: int, context: int, **more: Any) -> None:
        super().__init__(vocabulary, order, context, **more)
        self.table = nn.Parameter(torch.zeros(self.states))
        self.score = nn.Identity()

    def base_model(self, input_ids: Tensor, **_: Any) -> SimpleNamespace:
        """last_hidden_state [B, T, 1]: the number of the state after each token."""
        return SimpleNamespace(last_hidden_state=self.table[self.state(input_ids)].unsqueeze(-1))


class BagOfWords(_TabularModel):
    """The sum of the weights of all tokens so far: a reward model that ignores the order of words."""

    def __init__(self, vocabulary: int, context: int, **more: Any) -> None:
        super().__init__(vocabulary, 1, context, **more)
        self.weights = nn.Parameter(torch.zeros(vocabulary))
        self.score = nn.Identity()

    def base_model(self, input_ids: Tensor, **_: Any) -> SimpleNamespace:
        """last_hidden_state [B, T, 1]: the sum of the weights up to each token."""
        return SimpleNamespace(last_hidden_state=self.weights[input_ids].cumsum(1).unsqueeze(-1))


def is_tabular(path: Path) -> bool:
    """Whether a directory holds a table."""
    config = path / "config.json"
    try:
        table = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # the loader that reads it says what is wrong
    return isinstance(table, dict) and table.get("model_type") == "tabular"


def context(path: Path) -> int:
    """The longest sequence that a saved table takes, in tokens."""
    return int(json.loads((path / "config.json").read_text(encoding="utf-8"))["max_position_embeddings"])


def load(path: Path) -> nn.Module:
    """A saved table."""
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    weights = load_file(path / "model.safetensors")
    shape = {"vocabulary": config["vocab_size"], "context": config["max_position_embeddings"]}
    more = {k: v for k, v in config.items() if k.startswith("trueward_")}
    if "weights" in weights:
        model: nn.Module = BagOfWords(**shape, **more)
    elif weights["table"].ndim == 1:
        model = TabularScalar(**shape, order=config["order"], **more)
    else:
        model = TabularPolicy(**shape, order=config["order"])
    model.to(next(iter(weights.values())).dtype).load_state_dict(weights)
    return model


def tokenizer(words: list[str], context: int) -> PreTrainedTokenizerBase:
    """One token a word, spaces between: pad 0, begin 1, end 2, then the words."""
    vocabulary = {piece: i for i, piece in enumerate((*SPECIAL, *words))}
    core = Tokenizer(WordLevel(vocabulary, unk_token=SPECIAL[0]))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(single=f"{SPECIAL[1]} $A", special_tokens=[(SPECIAL[1], 1)])
    pad, begin, end = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=pad, bos_token=begin, eos_token=end, model_max_length=context
    )
