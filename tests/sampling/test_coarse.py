"""The samplers in int8 and in bfloat16: near float32, and honest about what they drew from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from trueward.losses.importance import mismatch
from trueward.models import heads, loading
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.fast import FastDecoder
from trueward.sampling.sampler import SamplingParams, decoder_for, sample

MakeNetwork = Callable[..., Network]


@torch.no_grad()
def whole_pass(network: Network, ids: torch.Tensor, quantize: str) -> torch.Tensor:
    """Log-probs of the next token after each prompt [n, T], read at once."""
    decoder = FastDecoder(network.model, quantize)
    decoder.start(len(ids), ids.shape[1] + 1)
    logits = decoder.prefill(torch.arange(len(ids)), ids, torch.full((len(ids),), ids.shape[1]))
    return logits.log_softmax(-1)


coarse = pytest.mark.parametrize("quantize", ["int8", "bfloat16"])


@coarse
@pytest.mark.parametrize("changes", [{}, {"num_attention_heads": 4, "attention_bias": True}])
def test_near_float32_but_not_equal(make_policy: MakeNetwork, changes: dict[str, object], quantize: str) -> None:
    network = make_policy(**changes)
    ids = torch.randint(3, 30, (40, 9), generator=torch.Generator().manual_seed(0))
    exact, rough = whole_pass(network, ids, "none"), whole_pass(network, ids, quantize)
    kl = (exact.exp() * (exact - rough)).sum(-1).mean()
    assert 1e-7 < kl < 0.02


@coarse
def test_recorded_log_probs_are_those_that_it_drew_with(
    make_policy: MakeNetwork, toy_prompts: list[Prompt], quantize: str
) -> None:
    """Each answer's last token, from its whole context read at once by the quantised weights."""
    network = make_policy()
    settings = SamplingParams(max_new_tokens=8, max_num_seqs=6, quantize=quantize)
    rollout = sample(network, toy_prompts, settings, Draws(3))
    tokens = rollout.tokens
    float_ones = heads.response_logprobs(network.model, tokens).detach()
    found, learner = [], []
    for row in range(len(tokens)):
        end = int(tokens.lengths[row])
        chances = whole_pass(network, tokens.ids[row : row + 1, : end - 1], quantize)
        found.append(chances[0, tokens.ids[row, end - 1]] - rollout.logprobs[row, end - 1])
        learner.append(float_ones[row, end - 1] - rollout.logprobs[row, end - 1])
    # One unit of the second digit, where float32 rounds to the other side; far from float32's own numbers.
    assert torch.stack(found).abs().max() < 2e-3
    assert torch.stack(found).abs().mean() < 0.02 * torch.stack(learner).abs().mean()
    figures = mismatch(float_ones, rollout.logprobs, tokens.response_mask)
    assert 1e-7 < figures["importance/kl"] < 0.02


@coarse
def test_answers_do_not_depend_on_the_rows_beside(
    make_policy: MakeNetwork, toy_prompts: list[Prompt], quantize: str
) -> None:
    network = make_policy()
    together, alone = (
        sample(
            network,
            toy_prompts,
            SamplingParams(max_new_tokens=10, max_num_seqs=rows, quantize=quantize),
            Draws(5),
        )
        for rows in (20, 1)
    )
    assert torch.equal(together.tokens.ids, alone.tokens.ids)
    torch.testing.assert_close(together.logprobs, alone.logprobs, rtol=0, atol=2e-3)


def test_a_shared_prompt_is_read_once_and_answered_as_if_it_were_alone(
    make_policy: MakeNetwork, toy_prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, read = make_policy(), []
    inner = FastDecoder._read
    monkeypatch.setattr(
        FastDecoder,
        "_read",
        lambda self, at, ids, lengths, of: (read.append(len(ids)), inner(self, at, ids, lengths, of))[1],
    )
    prompts = [p for p in toy_prompts[:5] for _ in range(4)]
    shared = sample(network, prompts, SamplingParams(max_new_tokens=8, max_num_seqs=20), Draws(2))
    assert read == [5]
    alone = sample(network, prompts, SamplingParams(max_new_tokens=8, max_num_seqs=1), Draws(2))
    assert torch.equal(shared.tokens.ids, alone.tokens.ids)
    torch.testing.assert_close(shared.logprobs, alone.logprobs, rtol=0, atol=1e-5)


@coarse
def test_only_the_fast_path_has_a_coarse_sampler(quantize: str) -> None:
    with pytest.raises(ValueError, match=rf"sampler.engine.quantize = '{quantize}'.* type 'tabular'; it is for llama"):
        decoder_for(loading.causal("trueward:nano", 0, torch.device("cpu")), quantize)
