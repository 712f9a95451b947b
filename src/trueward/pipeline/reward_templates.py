"""Reward models from elsewhere read conversations through their own chat templates, which may refuse a prompt.

Known before anything is trained: the tokenizer alone is loaded, and shown every prompt with an answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trueward.config import Recipe
from trueward.data.conversations import named, refusals
from trueward.models import loading, tokenizer_class
from trueward.models.quiet import quiet
from trueward.pipeline.parts import Parts
from trueward.pipeline.sources import Source
from trueward.records import ASSISTANT, Prompt

ANSWER = "An answer."


def refuse_refused_prompts(recipe: Recipe, source: Source) -> None:
    """`ValueError` that names the row and the model, if a reward model's chat template refuses a prompt."""
    reward = recipe.reward
    places = {reward.model: reward.template} if Parts(recipe).is_model and reward.model else {}
    names = [*recipe.evaluation.truths, *(p.scorer for p in (reward.parts if reward.kind == "mix" else ()))]
    places |= {name.removeprefix("model:"): "auto" for name in names if name.startswith("model:")}
    prompts = {p.id: p for p in source.prompts}.values()
    for place, template in places.items():
        if tokenizer := _chatting(place, template):
            _show(place, tokenizer, prompts, source)


def _show(place: str, tokenizer: Any, prompts: Iterable[Prompt], source: Source) -> None:
    try:
        with named(source.places, "data.prompts"):
            for prompt in prompts:
                messages = [m.model_dump() for m in prompt.messages] or [{"role": "user", "content": prompt.text}]
                with refusals(prompt):
                    tokenizer.apply_chat_template([*messages, {"role": ASSISTANT, "content": ANSWER}], tokenize=False)
    except ValueError as error:
        raise ValueError(f"{error}; the model is the reward model {place}") from None


@quiet()
def _chatting(place: str, template: str) -> Any:
    """The tokenizer of a reward model in a directory that reads conversations; None for another one."""
    config = Path(place) / "config.json"
    if template not in ("auto", "chat") or not config.is_file():
        return None
    try:
        table = json.loads(config.read_text(encoding="utf-8"))
        if table.get(loading.READS) not in (None, "chat") or (loading.READS not in table and loading.SD in table):
            return None
        tokenizer = tokenizer_class.read(place)
    except Exception:  # whatever is wrong with it, the error for it comes when the model is loaded
        return None
    return tokenizer if tokenizer.chat_template else None
