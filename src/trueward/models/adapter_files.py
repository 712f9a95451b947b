"""What lies beside an adapter in its folder and wins over its base's: tokenizer, chat template, configuration."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedTokenizerBase

from trueward.artifacts import read_json
from trueward.data import ends
from trueward.models import adapter_base, lora, places, tokenizer_class, vocabulary
from trueward.models.network import Network
from trueward.models.padding import separate_pad

VOCABULARIES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
SETTINGS, TEMPLATE, OLDER_TEMPLATE = "tokenizer_config.json", "chat_template.jinja", "chat_template.json"
ROLES = ("eos_token", "pad_token", "bos_token")


def tokenizer(folder: Path, base: PreTrainedTokenizerBase, base_config: Any = None) -> PreTrainedTokenizerBase:
    """The folder's own tokenizer, or its base's with the folder's chat template and roles; the base's own without either.

    What ends an answer by the base's configuration still does, where the tokenizer knows it. base_config: the base's, which
    says what kind of tokenizer it is where the folder doesn't. `ValueError` in one line if it can't be read.
    """
    if any((folder / name).is_file() for name in VOCABULARIES):
        with places.in_one_line(str(folder), "a tokenizer"):
            config = base_config if base_config is not None else places.read_config(adapter_base.base_of(folder))
            made = tokenizer_class.read(folder, config=config)
    else:
        given = _settings(folder)
        if not given:
            return base
        made = copy.deepcopy(base)
        for name, value in given.items():
            setattr(made, name, value)
    known = set(made.get_vocab().values())
    ends.declare(made, [i for i in getattr(base, ends.DECLARED, ()) if i in known])
    return made


def config(place: Path, folder: Path, base: Any) -> Any:
    """The configuration of a reward model in `place` whose adapter is `folder`: its own, else its base's with one label."""
    for file in (place / lora.MODEL, place / "config.json", folder / lora.MODEL):
        if file.is_file():
            return AutoConfig.from_pretrained(file, trust_remote_code=False)
    made = copy.deepcopy(base)
    made.num_labels = 1
    return made


def _settings(folder: Path) -> dict[str, Any]:
    """What a folder without a vocabulary says of its base's tokenizer."""
    given: dict[str, Any] = {}
    for name in (OLDER_TEMPLATE, SETTINGS):
        table = read_json(folder / name) if (folder / name).is_file() else {}
        if isinstance(table, dict):
            given |= {k: table[k] for k in ("chat_template", *ROLES) if isinstance(table.get(k), str)}
    if (folder / TEMPLATE).is_file():
        given["chat_template"] = (folder / TEMPLATE).read_text(encoding="utf-8")
    return given


def with_tokenizer(adapter: Path, standing: Network) -> PreTrainedTokenizerBase:
    """The tokenizer of an adapter on this model: that in its folder, else the model's.

    `ValueError` if it knows tokens that the model has no embedding for.
    """
    found = tokenizer(adapter, standing.tokenizer, standing.model.config)
    if found is not standing.tokenizer:
        vocabulary.require_end(found, str(adapter))
        vocabulary.require_embedded(standing.model, found, str(adapter))
        separate_pad(standing.model, found)
    return found
