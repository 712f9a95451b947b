"""Reward models trained with other tools, read as transformers reads them.

Any `AutoModelForSequenceClassification` with one label, encoders too: the score is what its own forward pass gives, with
its own tokenizer, padding token and chat template. `template` in its config.json, under `loading.READS`, says how a
completion becomes its input (`loading.TEMPLATES`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trueward import transfers
from trueward.batches import micro_batches
from trueward.data.collate import Collator, talk
from trueward.data.control_tokens import Talk
from trueward.data.conversations import refusals
from trueward.data.encoder import encoder
from trueward.models import loading, precision
from trueward.models.network import Network
from trueward.models.quiet import quiet
from trueward.models.vocabulary import require_ids
from trueward.records import ASSISTANT, Completion
from trueward.token_budget import Budget, within_memory

HEADS = ("score", "classifier", "classification_head")


class Encoded(NamedTuple):
    """The tokens of one completion as a reward model's tokenizer encodes it."""

    ids: list[int]
    types: list[int]  # which of two texts a token belongs to, for models that want to know
    truncated: bool  # whether the prompt's beginning was left out, because there was no room


def template(network: Network) -> str:
    """How this reward model reads a completion (a name in `loading.TEMPLATES`); `own`: as trueward's models do."""
    return str(getattr(network.model.config, loading.READS, loading.OWN))


def encode(network: Network, completion: Completion) -> Encoded:
    """The input for one completion. One longer than the model's context loses the beginning of its prompt.

    `ValueError` for a conversation where the tokenizer has no chat template.
    """
    way = template(network)
    if way == "pair":
        return _pair(network, completion)
    tokenizer = network.tokenizer
    if way == "chat":
        ids = _chat(tokenizer, completion)
    elif completion.prompt.messages:
        raise ValueError(
            "the prompts are conversations, but the reward model's tokenizer has no chat template; give plain text "
            'prompts, or reward.template = "pair"'
        )
    else:
        ids = encoder(tokenizer).plain(completion.prompt.text, _response(tokenizer, completion))
        if (end := tokenizer.eos_token_id) is not None:
            while ids and ids[-1] == end:  # some tokenizers append end-of-sequence
                ids.pop()
            ids += [end] if completion.finished else []
    room = network.context
    opened = 1 if ids and ids[0] in (tokenizer.bos_token_id, tokenizer.cls_token_id) else 0
    truncated = len(ids) > room
    if truncated:
        ids = ids[:opened] + ids[len(ids) - room + opened :]
    return Encoded(ids, [0] * len(ids), truncated)


def _chat(tokenizer: Any, completion: Completion) -> list[int]:
    """The conversation through the template; a truncated response is left open."""
    asked, response = talk(completion.prompt), _response(tokenizer, completion)
    with refusals(completion.prompt):
        if not completion.finished:
            return encoder(tokenizer).conversation(asked, response)
        whole = [*asked.messages, {"role": ASSISTANT, "content": response}]
        return encoder(tokenizer).conversation(Talk(whole, asked.tools), None)


def _response(tokenizer: Any, completion: Completion) -> str:
    """Its text, without that of its end, which is a token if it has ended."""
    return encoder(tokenizer).control.without_end(completion.response) if completion.finished else completion.response


def _pair(network: Network, completion: Completion) -> Encoded:
    tokenizer, room = network.tokenizer, network.context
    messages = completion.prompt.messages
    prompt = messages[0].content if len(messages) == 1 else str(completion.prompt)
    control, response = encoder(tokenizer).control, completion.response
    more: dict[str, Any] = {}
    if control.made_by([prompt, response], control.forbidden):
        more = {"split_special_tokens": True}  # what looks like a separator is text
        if control.made_by([prompt, response], control.forbidden, **more):
            prompt, response = control.spaced(prompt), control.spaced(response)
    both = [prompt], [response]  # as a batch of one: alone, an empty second text would count as none
    encoded = tokenizer(*both, return_token_type_ids=True, verbose=False, **more)
    truncated = len(encoded["input_ids"][0]) > room
    if truncated:
        answer = len(tokenizer(response, add_special_tokens=False, verbose=False, **more)["input_ids"])
        fits = answer + tokenizer.num_special_tokens_to_add(pair=True) < room
        tokenizer.truncation_side = "left"
        truncation = "only_first" if fits else "longest_first"
        encoded = tokenizer(*both, truncation=truncation, max_length=room, return_token_type_ids=True, **more)
    return Encoded(list(encoded["input_ids"][0]), list(encoded["token_type_ids"][0]), truncated)


@quiet()
@torch.no_grad()
def read(
    network: Network, completions: Sequence[Completion], micro_batch_tokens: Budget
) -> tuple[np.ndarray, np.ndarray]:
    """The model's raw scores [n] and what its head reads [n, d], both float64."""
    encoded = [encode(network, c) for c in completions]
    require_ids(network.model, (e.ids for e in encoded), network.tokenizer)
    lengths = torch.tensor([len(e.ids) for e in encoded], dtype=torch.long)

    def attempt() -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        groups = micro_batches(lengths, micro_batch_tokens)
        return groups, [_forward(network, [encoded[i] for i in rows.tolist()]) for rows in groups]

    groups, pairs = within_memory(micro_batch_tokens, attempt)
    read = [part.double().numpy() for part in transfers.read([part for pair in pairs for part in pair])]
    raw, states = np.zeros(len(encoded)), np.zeros((len(encoded), read[1].shape[1] if read else 0))
    for rows, score, state in zip(groups, read[::2], read[1::2], strict=True):
        raw[rows.numpy()], states[rows.numpy()] = score, state
    return raw, states


def _forward(network: Network, batch: Sequence[Encoded]) -> tuple[Tensor, Tensor]:
    model, device = network.model, network.device
    pad, width = model.config.pad_token_id, max(len(e.ids) for e in batch)

    def tensor(values: list[list[int]], filler: int) -> Tensor:
        return transfers.moved(torch.tensor([[*v, *[filler] * (width - len(v))] for v in values]), device)

    inputs = {
        "input_ids": tensor([e.ids for e in batch], pad),
        "attention_mask": tensor([[1] * len(e.ids) for e in batch], 0),
    }
    if "token_type_ids" in network.tokenizer.model_input_names and getattr(model.config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = tensor([e.types for e in batch], 0)
    head_inputs: list[Tensor] = []
    head = next((getattr(model, name) for name in HEADS if hasattr(model, name)), None)
    hook = head.register_forward_pre_hook(lambda _, args: head_inputs.append(args[0])) if head else None
    try:
        with precision.products(model):
            score = model(**inputs).logits[:, 0].float()
    finally:
        if hook:
            hook.remove()
    return score, _state(head_inputs[0], model, inputs["input_ids"]) if head_inputs else score[:, None]


def _state(head_input: Tensor, model: Any, ids: Tensor) -> Tensor:
    """The state that the score is a function of, [n, d]: an encoder's first token's, a causal model's last one's."""
    if head_input.dim() == 2:
        return head_input
    if not hasattr(model, "score"):
        return head_input[:, 0]
    place = (torch.arange(ids.shape[1], device=ids.device) * (ids != model.config.pad_token_id)).argmax(1)
    return head_input[torch.arange(len(head_input), device=ids.device), place]


def too_long(network: Network, completions: Sequence[Completion]) -> int:
    """How many completions a reward model of trueward's own would read without their ends; 0 for others (see `left_out`)."""
    if template(network) != loading.OWN:
        return 0
    reader = Collator(network.tokenizer, network.context)
    responses = reader.responses_ids((c.response, c.finished) for c in completions)
    both = zip(completions, responses, strict=True)
    return sum(len(reader.prompt_ids(c.prompt)) + len(r) > network.context for c, r in both)


def left_out(network: Network, completions: Sequence[Completion]) -> list[dict[str, Any]]:
    """A row for the stage's report that counts the responses of which the prompt was truncated; empty if there are none."""
    if template(network) == loading.OWN:
        return []
    truncated = sum(encode(network, c).truncated for c in completions)
    reason = f"longer than the reward model's {network.context} tokens: it read them without the prompt's beginning"
    return [{"what": "reward model, answers", "reason": reason, "rows": truncated}] if truncated else []
