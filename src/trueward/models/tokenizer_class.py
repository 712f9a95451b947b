"""The tokenizer that a model's files describe, where transformers would put its family's usual one in its place."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from trueward.models import places
from trueward.progress import note

PROBE = " The film's 2nd plot — naïve, 北京 🎬;\n\n\tdef f(x):  return x+1 # it ISN'T bad ."


def read(place: str | Path, **settings: Any) -> Any:
    """`AutoTokenizer.from_pretrained`, without code of the model's own.

    transformers 5 makes the tokenizer of the model's family whatever class the files name, with that family's way to split
    text: a Qwen 2 with a vocabulary of another make then loses most words. Where the class that tokenizer_config.json names
    isn't the one that came, and tokenizer.json itself reads a text otherwise, tokenizer.json is taken as it is, and said so.
    """
    made = AutoTokenizer.from_pretrained(place, trust_remote_code=False, **settings)
    named, file = _named(str(place)), places.find_file(str(place), "tokenizer.json", fetch=False)
    if file is None or not named or _plain(named) == _plain(type(made).__name__):
        return made
    own = Tokenizer.from_file(str(file)).encode(PROBE, add_special_tokens=False).ids
    if made(PROBE, add_special_tokens=False)["input_ids"] == own:
        return made
    _say(str(place), type(made).__name__)
    return PreTrainedTokenizerFast.from_pretrained(place)


@cache
def _say(place: str, kind: str) -> None:
    note(
        f"{place}: its tokenizer.json is read as it is; the {kind} that transformers takes for its family would make other "
        "tokens of text"
    )


def _named(place: str) -> str:
    file = places.find_file(place, "tokenizer_config.json", fetch=False)
    if file is None:
        return ""
    table = json.loads(file.read_text(encoding="utf-8"))
    return str(table.get("tokenizer_class") or "") if isinstance(table, dict) else ""


def _plain(name: str) -> str:
    return name.removesuffix("Fast")
