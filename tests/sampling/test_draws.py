"""The table of uniform numbers: those that a generator gives, and the same for a completion wherever it is sampled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from trueward.models.network import Network
from trueward.models.tabular import TabularPolicy, tokenizer
from trueward.records import Prompt
from trueward.sampling import sampler
from trueward.sampling.draws import Draws
from trueward.sampling.fast import FastDecoder
from trueward.sampling.general import GeneralDecoder
from trueward.sampling.sampler import SamplingParams, sample
from trueward.sampling.tabular import TabularDecoder
from trueward.seeds import generator

MakeNetwork = Callable[..., Network]


def test_a_purposes_numbers_are_those_of_its_generator() -> None:
    for what in (("rollout", 3), ("rollout", 4), ("look", "test", "policy")):
        expected = torch.rand(5, 7, generator=generator(11, *what))
        assert torch.equal(Draws.purpose(11, *what).uniforms(5, 7), expected)
    assert torch.equal(Draws(4).uniforms(5, 7), torch.rand(5, 7, generator=torch.Generator().manual_seed(4)))


def test_one_purpose_is_unrelated_to_another_and_each_time_the_same() -> None:
    made = [
        Draws.purpose(*what) for what in ((1, "rollout", 0), (1, "rollout", 1), (2, "rollout", 0), (1, "refill", 0))
    ]
    tables = [draws.uniforms(6, 4) for draws in made]
    for i, one in enumerate(tables):
        assert torch.equal(one, made[i].uniforms(6, 4))
        assert not any(torch.isin(one, other).any() for other in tables[:i])


def test_rows_that_are_taken_are_those_of_the_whole() -> None:
    whole = Draws(3).uniforms(9, 5)
    for rows in (torch.tensor([0, 2, 4, 6, 8]), torch.tensor([7]), torch.tensor([8, 1]), torch.arange(0)):
        assert torch.equal(Draws(3).take(rows, 9).uniforms(len(rows), 5), whole[rows])


def test_repeated_they_are_those_of_the_repeated_whole() -> None:
    """The best of n asks each prompt n times, next to each other."""
    whole = Draws(3).repeat(4).uniforms(5 * 4, 6)
    assert torch.equal(whole, Draws(3).uniforms(20, 6))
    rows = torch.tensor([3, 0])
    part = Draws(3).take(rows, 5).repeat(4).uniforms(2 * 4, 6)
    assert torch.equal(part, whole.view(5, 4, 6)[rows].view(8, 6))
    assert torch.equal(Draws(3).take(rows, 5).repeat(1).uniforms(2, 6), Draws(3).uniforms(5, 6)[rows])


def test_what_makes_no_sense_is_an_error() -> None:
    with pytest.raises(AssertionError):
        Draws(0).take(torch.tensor([0, 1]), 4).take(torch.tensor([0]), 2)
    with pytest.raises(AssertionError):
        Draws(0).take(torch.tensor([0, 1]), 4).uniforms(3, 2)


def bigrams() -> Network:
    words = ["the", "a", "film", "story", "new", "old"]
    model = TabularPolicy(len(words) + 3, 1, 48)
    torch.nn.init.normal_(model.table, generator=torch.Generator().manual_seed(2))
    return Network(model, tokenizer(words, 48))


DECODERS = {"fast": FastDecoder, "general": GeneralDecoder, "tabular": TabularDecoder}


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_share_is_sampled_as_in_the_whole(
    make_policy: MakeNetwork,
    toy_prompts: list[Prompt],
    monkeypatch: pytest.MonkeyPatch,
    decoder: str,
    temperature: float,
) -> None:
    """The very tokens. Log-probs to the bit where each row is read by itself; a matrix product's width moves the last."""
    network = bigrams() if decoder == "tabular" else make_policy(words=["this", "the", "a"])  # so that some end early
    if decoder == "general":
        monkeypatch.setattr(sampler, "decoder_for", lambda network, quantize="none": GeneralDecoder(network.model))
    assert isinstance(sampler.decoder_for(network), DECODERS[decoder])
    prompts = [*toy_prompts[:10], toy_prompts[0]]
    if decoder == "tabular":
        prompts = [Prompt(text=text) for text in ("the film", "a", "the new story", "old", "the film")]
    shares = [torch.arange(rank, len(prompts), 3) for rank in range(3)]
    shares += [torch.tensor([len(prompts) - 1, 0]), torch.arange(0)]
    for max_num_seqs in (1, 4, 128):
        params = SamplingParams(temperature, max_new_tokens=9, max_num_seqs=max_num_seqs)
        whole = sample(network, prompts, params, Draws(7))
        assert len(set(whole.tokens.response_lengths.tolist())) > 1
        exact = max_num_seqs == 1 or decoder == "tabular"
        for rows in shares:
            part = sample(network, [prompts[i] for i in rows.tolist()], params, Draws(7).take(rows, len(prompts)))
            expected = whole.tokens.take(rows)
            assert torch.equal(part.tokens.ids, expected.ids)
            assert torch.equal(part.tokens.prompt_lengths, expected.prompt_lengths)
            assert torch.equal(part.tokens.response_lengths, expected.response_lengths)
            assert part.completions == [whole.completions[i] for i in rows.tolist()]
            logprobs = whole.logprobs[rows, : expected.ids.shape[1]]
            torch.testing.assert_close(part.logprobs, logprobs, rtol=0, atol=0 if exact else 1e-5)
