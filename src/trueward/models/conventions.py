"""What a model's files say of how it is to be used: the tokens that end an answer, the settings to sample with."""

from __future__ import annotations

import json
from typing import Any

from transformers import PreTrainedTokenizerBase

from trueward.artifacts import read_json
from trueward.data import ends
from trueward.models import places
from trueward.models.vocabulary import known_ids

FILE = "generation_config.json"
SAMPLING = {  # settings of how tokens are drawn, with the values that change nothing
    "temperature": (1.0,),
    "top_k": (0,),
    "top_p": (1.0,),
    "min_p": (0.0,),
    "typical_p": (1.0,),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
    "repetition_penalty": (1.0,),
    "encoder_repetition_penalty": (1.0,),
    "no_repeat_ngram_size": (0,),
    "presence_penalty": (0.0,),
    "frequency_penalty": (0.0,),
    "length_penalty": (1.0,),
    "num_beams": (1,),
    "penalty_alpha": (0.0,),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "max_new_tokens": (),
    "bad_words_ids": (),
    "suppress_tokens": (),
    "begin_suppress_tokens": (),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "exponential_decay_length_penalty": (),
    "sequence_bias": (),
    "guidance_scale": (1.0,),
}


def declare_ends(place: str, tokenizer: PreTrainedTokenizerBase, config: Any) -> None:
    """Declare every end-of-sequence id of a model's generation_config.json and config.json that its tokenizer knows.

    One that is only the default of the family's configuration, and an ordinary word to the tokenizer, isn't meant.
    """
    text = config.get_text_config()
    try:
        default = type(text)().eos_token_id
    except Exception:  # a family whose configuration has no defaults
        default = None
    known = set(known_ids(tokenizer))
    special = set(tokenizer.added_tokens_decoder) | set(tokenizer.all_special_ids)
    ids: list[int] = []
    for value in (_generation(place).get("eos_token_id"), text.eos_token_id):
        named = [i for i in (value if isinstance(value, list | tuple) else [value]) if isinstance(i, int)]
        meant = [i for i in named if i in special or len(named) > 1 or i != default]
        ids += [i for i in meant if i in known]
    ends.declare(tokenizer, dict.fromkeys(ids))


def write_ends(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Put the ids that end an answer into a model's own configuration, so that other tools stop where it was taught to."""
    ids = list(ends.ends(tokenizer))
    for settings in (getattr(model, "generation_config", None), model.config.get_text_config()):
        if settings is None:
            continue
        value = settings.eos_token_id
        if set(value if isinstance(value, list | tuple) else [value]) != set(ids):
            settings.eos_token_id = ids if len(ids) > 1 else ids[0]


def set_aside(place: str) -> dict[str, Any]:
    """The settings of a model's generation_config.json that change how tokens are drawn; trueward's own are taken instead.

    Of a model on the hub they are known once it was fetched.
    """
    given = _generation(place, fetch=False)
    return {
        name: given[name]
        for name, idle in SAMPLING.items()
        if given.get(name) is not None and given[name] not in idle and given[name] != []
    }


def note(place: str, setting: str = "") -> str:
    """The line that says what is set aside; empty if nothing is. setting: the recipe's, that names the model."""
    there = set_aside(place)
    if not there:
        return ""
    named = ", ".join(f"{name} = {json.dumps(value)[:40]}" for name, value in there.items())
    where = f"{setting}: " if setting else ""
    return (
        f"{where}{place}: {FILE} asks for {named}: set aside, since tokens are drawn by trueward's own settings alone"
    )


def _generation(place: str, fetch: bool = True) -> dict[str, Any]:
    path = None if place.startswith("trueward:") else places.find_file(place, FILE, fetch)
    if path is None:
        return {}
    try:
        table = read_json(path)
    except ValueError:
        return {}
    return table if isinstance(table, dict) else {}
