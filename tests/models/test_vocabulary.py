"""Ids that the tokenizer lacks have no probability: not in the sampler, not in log-probs, entropies, KL."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from families import CPU, SPARE, save_model, words
from torch import Tensor

from trueward.batches import Tokens
from trueward.losses import kl
from trueward.losses import logprobs as lp
from trueward.models import heads, loading, vocabulary
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, sample

KNOWN = len(words())
PROMPTS = [Prompt(text=t) for t in ("the film is", "the", "the new film is great . the story")] * 8


def gap(place: Path, token: int) -> None:
    """Move the tokenizer's last word further up, so that an id below the highest has no token."""
    file = place / "tokenizer.json"
    table = json.loads(file.read_text(encoding="utf-8"))
    vocab = table["model"]["vocab"]
    last = max(vocab, key=lambda w: vocab[w])
    vocab[last] = token
    file.write_text(json.dumps(table), encoding="utf-8")


def network(folder: Path, family: str, holes: bool) -> Network:
    place = save_model(folder / family, family, spare=SPARE)
    if holes:
        gap(place, KNOWN + 2)
    return loading.causal(str(place), 0, CPU)


def allowed(net: Network) -> Tensor:
    return torch.tensor(vocabulary.known_ids(net.tokenizer))


def by_transformers(net: Network, tokens: Tokens, temperature: float) -> Tensor:
    """log π over the tokens that the tokenizer knows, from the library's own forward pass, a row at a time."""
    out = torch.zeros(tokens.ids.shape)
    for i, row in enumerate(tokens.ids):
        with torch.no_grad():
            logits = net.model(input_ids=row[None]).logits[0] / temperature
        unknown = torch.ones(logits.shape[-1], dtype=torch.bool)
        unknown[allowed(net)] = False
        logp = logits.masked_fill(unknown, -torch.inf).log_softmax(-1)
        out[i, 1:] = logp[:-1].gather(-1, row[1:, None])[:, 0]
    return out * tokens.response_mask


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma2", "gpt2", "phi3"])
def test_one_distribution_in_sampler_training_and_measurement(family: str, holes: bool, tmp_path: Path) -> None:
    net = network(tmp_path, family, holes)
    known = set(allowed(net).tolist())
    assert len(known) == KNOWN
    assert (KNOWN - 1 in known) is not holes
    for temperature in (1.0, 0.6):
        rollout = sample(net, PROMPTS, SamplingParams(temperature, 12), Draws.purpose(0, family))
        tokens = rollout.tokens
        assert set(tokens.ids[tokens.response_mask].tolist()) <= known
        ours, entropy = heads.response_logprobs_and_entropy(net.model, tokens, temperature)
        torch.testing.assert_close(ours, rollout.logprobs, atol=2e-5, rtol=0)
        torch.testing.assert_close(ours, by_transformers(net, tokens, temperature), atol=2e-5, rtol=0)
        logits = heads.response_logits(net.model, tokens)
        assert torch.isfinite(entropy).all()
        torch.testing.assert_close(heads.from_flat(lp.entropy(logits, temperature), tokens), entropy, atol=2e-5, rtol=0)
        chosen = lp.token_logprobs(logits, tokens.ids[tokens.response_mask], temperature)
        torch.testing.assert_close(heads.from_flat(chosen, tokens), ours, atol=2e-5, rtol=0)
        assert kl.exact(logits, logits, temperature).abs().max() < 1e-5


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_rows_of_unknown_ids_get_no_gradient_from_the_head(family: str, holes: bool, tmp_path: Path) -> None:
    net = network(tmp_path, family, holes)
    head = net.model.get_output_embeddings().weight
    with torch.no_grad():
        head[KNOWN + 3 :] += 50.0  # were they known, nothing else would be drawn
    rollout = sample(net, PROMPTS, SamplingParams(1.0, 12), Draws.purpose(1, family))
    assert set(rollout.tokens.ids.flatten().tolist()) <= set(allowed(net).tolist())
    values, entropies = heads.response_logprobs_and_entropy(net.model, rollout.tokens)
    assert torch.isfinite(values).all()
    values.sum().backward()
    assert head.grad is not None
    assert torch.isfinite(head.grad).all()
    assert (head.grad[KNOWN + 3 :] == 0).all()
    assert entropies.min() >= 0


def test_the_likeliest_token_is_one_that_is_known(tmp_path: Path) -> None:
    net = network(tmp_path, "qwen2", False)
    with torch.no_grad():
        net.model.get_output_embeddings().weight[KNOWN:] *= 100
    rollout = sample(net, PROMPTS[:3], SamplingParams(0.0, 12), Draws.purpose(0, "greedy"))
    assert rollout.tokens.ids.max() < KNOWN


def test_nothing_is_narrowed_where_the_widths_agree(make_policy: Callable[..., Any]) -> None:
    net = make_policy()
    assert vocabulary.of(net.model) is None
    logits = torch.randn(3, net.model.config.vocab_size)
    assert vocabulary.narrow(net.model, logits) is logits


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_copies_know_it_too(family: str, tmp_path: Path) -> None:
    from trueward.config import LoraConfig
    from trueward.models import shared_base
    from trueward.models.derived import trainable

    place = str(save_model(tmp_path / "base", family))
    shared = shared_base.policy(place, 0, CPU)
    copies = [
        trainable(shared, None, 0),
        trainable(shared, LoraConfig(rank=2), 0),
        shared_base.merge_adapter(trainable(shared, LoraConfig(rank=2), 0)),
    ]
    for copy in copies:
        known = vocabulary.of(copy.model)
        assert known is not None
        assert known.width == len(copy.tokenizer)
        rollout = sample(copy, PROMPTS[:6], SamplingParams(1.0, 12), Draws.purpose(0, "copies"))
        torch.testing.assert_close(
            heads.response_logprobs(copy.model, rollout.tokens), rollout.logprobs, atol=2e-5, rtol=0
        )


@pytest.mark.parametrize("template", ["{{ '<img>' }}{{ messages[0]['content'] }}", ""])
def test_added_tokens_without_an_embedding(template: str, tmp_path: Path) -> None:
    """They may be there for other uses, as long as nothing writes them."""
    tokenizer = words(template)
    place = save_model(tmp_path / "model", tokenizer=tokenizer, spare=0)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<img>"]}, replace_extra_special_tokens=False)
    tokenizer.save_pretrained(place)
    if template:
        with pytest.raises(ValueError, match=f"knows '<img>' as number {KNOWN}, but the model has embeddings for 0 to"):
            loading.causal(str(place), 0, CPU)
    else:
        net = loading.causal(str(place), 0, CPU)
        sample(net, PROMPTS[:2], SamplingParams(1.0, 4), Draws.purpose(0, "beyond"))
        sample(net, [Prompt(text="the<img>")], SamplingParams(1.0, 4), Draws.purpose(0, "beyond"))  # text stays text


def test_words_without_an_embedding_are_refused(tmp_path: Path) -> None:
    place = save_model(tmp_path / "model", spare=-1)
    with pytest.raises(
        ValueError, match=f"as number {KNOWN - 1}, but the model has embeddings for 0 to {KNOWN - 2} alone"
    ):
        loading.causal(str(place), 0, CPU)


def test_padding_that_another_tool_added_gets_its_row(tmp_path: Path) -> None:
    tokenizer = words()
    place = save_model(tmp_path / "model", tokenizer=tokenizer, spare=0)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(place)
    net = loading.causal(str(place), 0, CPU)
    assert net.tokenizer.pad_token_id == KNOWN
    assert net.model.get_input_embeddings().num_embeddings == KNOWN + 1
    sample(net, PROMPTS[:3], SamplingParams(1.0, 4), Draws.purpose(0, "pad"))
