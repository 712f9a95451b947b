"""The sampler on tiny Llama models: lengths, refills, log-probs, endings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trueward.batches import Rollout
from trueward.models import heads
from trueward.models.network import Network
from trueward.records import Message, Prompt
from trueward.sampling import sampler
from trueward.sampling.draws import Draws
from trueward.sampling.fast import FastDecoder
from trueward.sampling.general import GeneralDecoder
from trueward.sampling.sampler import SamplingParams, sample

MakeNetwork = Callable[..., Network]
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
VARIANTS = {
    "plain": {},
    "grouped queries": {"num_attention_heads": 4, "num_key_value_heads": 2},
    "one key head": {"num_attention_heads": 4, "num_key_value_heads": 1},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "untied head": {"tie_word_embeddings": False},
    "head size": {"head_dim": 12},
    "activation and epsilon": {"hidden_act": "gelu", "rms_norm_eps": 1e-3},
    "rope llama3": {"rope_parameters": LLAMA3},
    "rope linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}},
}


def write(network: Network, prompts: list[Prompt], seed: int = 4, **settings: float) -> Rollout:
    return sample(network, prompts, SamplingParams(**settings), Draws(seed))


def with_biases(network: Network) -> Network:
    """Biases start at 0, where they would hide a mistake."""
    torch.manual_seed(17)
    with torch.no_grad():
        for name, weight in network.model.named_parameters():
            if weight.ndim == 1:
                weight.add_(0.3 * torch.randn_like(weight)) if "bias" in name else weight.mul_(1.3)
    return network


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_fast_path_equals_the_general_one_and_the_learner(
    make_policy: MakeNetwork,
    toy_prompts: list[Prompt],
    monkeypatch: pytest.MonkeyPatch,
    variant: str,
    temperature: float,
) -> None:
    network = with_biases(make_policy(**VARIANTS[variant]))
    assert isinstance(sampler.decoder_for(network), FastDecoder)
    settings = {"temperature": temperature, "max_new_tokens": 12, "max_num_seqs": 6}
    fast = write(network, toy_prompts, **settings)
    learner = heads.response_logprobs(network.model, fast.tokens, temperature).detach()
    torch.testing.assert_close(fast.logprobs, learner, rtol=0, atol=1e-4)
    monkeypatch.setattr(sampler, "decoder_for", lambda network, quantize="none": GeneralDecoder(network.model))
    general = write(network, toy_prompts, **settings)
    assert torch.equal(fast.tokens.ids, general.tokens.ids)
    torch.testing.assert_close(fast.logprobs, general.logprobs, rtol=0, atol=1e-4)


def test_other_rope_scalings_take_the_general_path(make_policy: MakeNetwork) -> None:
    scaling = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 2.0}
    assert isinstance(sampler.decoder_for(make_policy(rope_parameters=scaling)), GeneralDecoder)


@pytest.mark.parametrize("path", ["fast", "general"])
def test_results_do_not_depend_on_how_many_rows_are_written_at_once(
    make_policy: MakeNetwork, toy_prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    network = make_policy()
    if path == "general":
        monkeypatch.setattr(sampler, "decoder_for", lambda network, quantize="none": GeneralDecoder(network.model))
    together = write(network, toy_prompts, max_new_tokens=15, max_num_seqs=20)
    lengths = together.tokens.response_lengths
    assert int(lengths.min()) < int(lengths.max())  # some rows leave early
    for rows in (1, 3, 7, 500):
        other = write(network, toy_prompts, max_new_tokens=15, max_num_seqs=rows)
        assert torch.equal(other.tokens.ids, together.tokens.ids)
        assert other.completions == together.completions
        torch.testing.assert_close(other.logprobs, together.logprobs, rtol=0, atol=1e-5)


def test_the_order_of_prompts_is_kept_and_the_same_prompt_is_answered_twice(
    make_policy: MakeNetwork, toy_prompts: list[Prompt]
) -> None:
    prompts = [toy_prompts[0]] * 8 + toy_prompts
    rollout = write(make_policy(), prompts, max_new_tokens=6, max_num_seqs=5)
    assert [c.prompt for c in rollout.completions] == prompts
    assert len({c.response for c in rollout.completions[:8]}) > 1


def test_greedy_answers_do_not_depend_on_the_seed(make_policy: MakeNetwork, toy_prompts: list[Prompt]) -> None:
    network = make_policy()
    one, other = (write(network, toy_prompts, seed, temperature=0, max_new_tokens=6) for seed in (1, 2))
    assert torch.equal(one.tokens.ids, other.tokens.ids)
    drawn, again = (write(network, toy_prompts, seed, max_new_tokens=6) for seed in (1, 2))
    assert not torch.equal(drawn.tokens.ids[:, :8], again.tokens.ids[:, :8])


def test_answers_end_with_end_of_sequence_or_are_cut(make_policy: MakeNetwork, toy_prompts: list[Prompt]) -> None:
    network = make_policy()
    rollout = write(network, toy_prompts * 3, max_new_tokens=9, max_num_seqs=16)
    finished = [c.finished for c in rollout.completions]
    assert any(finished)
    assert not all(finished)
    tokens, mask = rollout.tokens, rollout.tokens.response_mask
    assert (rollout.logprobs[~mask] == 0).all()
    assert (rollout.logprobs[mask] < 0).all()
    for row, done in enumerate(finished):
        response = tokens.ids[row][mask[row]].tolist()
        assert 2 not in response[:-1]
        assert (response[-1] == 2) == done
        assert done or len(response) == 9
        outside = tokens.ids[row, int(tokens.lengths[row]) :]
        assert (outside == 0).all()
        assert "<|" not in rollout.completions[row].response.replace("<|unknown|>", "")


class Script:
    """A decoder that writes token 5 until it ends each answer after a number of tokens that stands in its prompt."""

    refills = True

    def __init__(self) -> None:
        self.after: Tensor = torch.empty(0)
        self.most = 0

    def start(self, rows: int, width: int) -> None:
        self.most = rows

    def prefill(self, at: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        last = ids[torch.arange(len(ids)), lengths - 1].double()
        self.after = torch.cat([self.after[: int(at[0])], last]) if int(at[0]) else last
        assert len(self.after) <= self.most
        return self.logits()[at]

    def step(self, ids: Tensor, positions: Tensor, width: int) -> Tensor:
        self.after = self.after - 1
        return self.logits()

    def keep(self, rows: Tensor) -> None:
        self.after = self.after[rows]

    def logits(self) -> Tensor:
        out = torch.full((len(self.after), 8), -50.0)
        out[:, 5] = 0.0
        out[self.after == 0, 2] = 50.0
        return out


@pytest.mark.parametrize("rows", [1, 2, 3, 9, 40])
def test_rows_come_and_go_and_an_end_at_the_last_place_counts(make_policy: MakeNetwork, rows: int) -> None:
    after = [0, 4, 1, 3, 0, 2, 7, 6, 3, 4, 0, 5, 1]
    done: list[int] = []
    responses, logprobs = sampler._decode(
        Script(),
        make_policy(),
        [[1, n] for n in after],
        [5] * len(after),
        torch.full((len(after), 5), 0.5),
        SamplingParams(max_new_tokens=5, max_num_seqs=rows),
        done.append,
    )
    assert responses == [[5] * n + [2] if n < 5 else [5] * 5 for n in after]
    assert logprobs.shape == (sum(len(r) for r in responses),)
    assert done[-1] == len(after)
    assert done == sorted(done)


def test_the_context_is_never_left(make_policy: MakeNetwork, toy_prompts: list[Prompt]) -> None:
    network = make_policy(max_position_embeddings=7)
    rollout = write(network, toy_prompts, max_new_tokens=30, max_num_seqs=4)
    assert int(rollout.tokens.lengths.max()) == 7
    learner = heads.response_logprobs(network.model, rollout.tokens).detach()
    torch.testing.assert_close(rollout.logprobs, learner, rtol=0, atol=1e-4)


def test_a_prompt_without_room_for_an_answer_is_refused_in_one_line(make_policy: MakeNetwork) -> None:
    network = make_policy(max_position_embeddings=4)
    assert len(write(network, [Prompt(text="the new")], max_new_tokens=3).completions) == 1
    for prompt in (Prompt(text="the new film"), Prompt(text="the new\n film is bad")):
        with pytest.raises(ValueError, match="leaves no room in a context of 4") as caught:
            write(network, [prompt])
        assert "\n" not in str(caught.value)


def test_messages_without_a_template_are_refused(make_policy: MakeNetwork) -> None:
    with pytest.raises(ValueError, match="no chat template"):
        write(make_policy(), [Prompt(messages=(Message(role="user", content="the film"),))])


def test_sampling_leaves_no_gradient_and_the_global_generator_alone(
    make_policy: MakeNetwork, toy_prompts: list[Prompt]
) -> None:
    network = make_policy()
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    rollout = write(network, toy_prompts, max_new_tokens=3)
    assert torch.equal(torch.rand(3), expected)
    assert not rollout.logprobs.requires_grad
