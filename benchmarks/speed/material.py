"""What both sides get: the same models, prompts, demonstrations and comparisons, made once from a seed.

    python -m speed.material S FOLDER

Weights are random: how long a product takes does not depend on its numbers. The vocabulary is single characters of a private
area, so that text and token ids are the same thing whichever way it is read, and every side sees the same lengths. A policy
with random weights hardly ever ends an answer, so nearly all answers that are sampled are as long as they may be.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

from speed.sizes import SIZES, Size

SPECIAL = ("<|pad|>", "<|end|>", "<|unknown|>")
FIRST = 0xF0000  # the first character of a private-use plane
ROWS = 1024
PROMPT = (24, 40)
SEED = 0


def tokenizer(vocabulary: int) -> Any:
    pieces = [*SPECIAL, *(chr(FIRST + i) for i in range(vocabulary - len(SPECIAL)))]
    core = Tokenizer(BPE({p: i for i, p in enumerate(pieces)}, [], unk_token="<|unknown|>"))
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<|pad|>", eos_token="<|end|>", unk_token="<|unknown|>",
        model_max_length=512, clean_up_tokenization_spaces=False,
    )  # fmt: skip


def config(size: Size) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        intermediate_size=size.middle,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )


def make(size: Size, folder: Path) -> None:
    """Writes everything into `folder`, whole or not at all."""
    fresh = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    words = tokenizer(size.vocabulary)
    torch.manual_seed(SEED)
    for name, kind in (("policy", LlamaForCausalLM), ("reward", LlamaForSequenceClassification)):
        shape = config(size)
        if name == "reward":
            shape.num_labels = 1
            shape.trueward_mean, shape.trueward_sd = 0.0, 1.0  # scores as they are
        kind(shape).save_pretrained(fresh / name)
        words.save_pretrained(fresh / name)
    random = torch.Generator().manual_seed(SEED)

    def text(low: int, high: int) -> str:
        count = int(torch.randint(low, high + 1, (), generator=random))
        ids = torch.randint(size.vocabulary - len(SPECIAL), (count,), generator=random)
        return "".join(chr(FIRST + i) for i in ids.tolist())

    # An answer's end is a token too.
    answer = (size.longest_answer // 2 - 1, size.longest_answer - 1)
    rows = [{"prompt": text(*PROMPT), "chosen": text(*answer), "rejected": text(*answer)} for _ in range(ROWS)]
    with (fresh / "rows.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.replace(folder)


if __name__ == "__main__":
    make(SIZES[sys.argv[1]], Path(sys.argv[2]))
