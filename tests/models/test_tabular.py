"""Tables as policies: their states, their sampler, their files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trueward.models import heads, tabular
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling import sampler
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, sample
from trueward.sampling.tabular import TabularDecoder

WORDS = ["a", "b", "c"]
PROMPTS = [Prompt(text=text) for text in ("a", "b c", "c c a b", "a b c a b")] * 8


def network(order: int, dtype: torch.dtype = torch.float32) -> Network:
    model = tabular.TabularPolicy(6, order, 12).to(dtype)
    torch.nn.init.normal_(model.table, generator=torch.Generator().manual_seed(order))
    return Network(model, tabular.tokenizer(WORDS, 12))


def test_states_are_the_last_tokens_in_base_of_the_vocabulary() -> None:
    ids = torch.tensor([[1, 3, 5, 2]])
    assert tabular.TabularPolicy(6, 1, 12).state(ids).tolist() == [[1, 3, 5, 2]]
    assert tabular.TabularPolicy(6, 2, 12).state(ids).tolist() == [[1, 9, 23, 32]]
    assert tabular.TabularPolicy(6, 3, 12).state(ids).tolist() == [[1, 9, 59, 36 * 3 + 32]]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_an_order_longer_than_the_sequence_counts_what_is_missing_as_padding(width: int) -> None:
    ids = torch.tensor([[1, 3, 4, 2]])[:, :width]
    expected = [int("".join(map(str, ids[0, : t + 1].tolist())), 5) for t in range(width)]
    assert tabular.TabularPolicy(5, 6, 12).state(ids).tolist() == [expected]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_the_sampler_equals_the_forward_pass_whatever_the_prompts_lengths(order: int, temperature: float) -> None:
    made = network(order)
    assert isinstance(sampler.decoder_for(made), TabularDecoder)
    rollouts = [sample(made, PROMPTS, SamplingParams(temperature, 5, rows), Draws(3)) for rows in (1, 5, 99)]
    lengths = rollouts[0].tokens.response_lengths
    assert int(lengths.min()) < int(lengths.max())
    for rollout in rollouts:
        learner = heads.response_logprobs(made.model, rollout.tokens, temperature).detach()
        torch.testing.assert_close(rollout.logprobs, learner, rtol=0, atol=1e-5)
        assert torch.equal(rollout.tokens.ids, rollouts[0].tokens.ids)


def test_a_tokenizer_of_one_token_a_word() -> None:
    tokenizer = tabular.tokenizer(WORDS, 12)
    assert tokenizer("c a")["input_ids"] == [1, 5, 3]
    assert tokenizer.decode([5, 3, 2], skip_special_tokens=True) == "c a"
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saved_tables_come_back(tmp_path: Path, dtype: torch.dtype) -> None:
    models = [
        tabular.TabularPolicy(6, 2, 12),
        tabular.TabularScalar(6, 2, 12, trueward_sd=2.0),
        tabular.BagOfWords(6, 12),
    ]
    assert not tabular.is_tabular(tmp_path)
    for model in models:
        for weight in model.to(dtype).parameters():
            torch.nn.init.normal_(weight)
        model.save_pretrained(tmp_path)
        assert tabular.is_tabular(tmp_path)
        back = tabular.load(tmp_path)
        assert type(back) is type(model)
        assert vars(back.config) == vars(model.config)
        for (name, one), other in zip(model.named_parameters(), back.parameters(), strict=True):
            assert torch.equal(one, other), name


def test_a_bag_of_words_sums_the_weights_so_far() -> None:
    model = tabular.BagOfWords(6, 12)
    model.weights.data = torch.tensor([9.0, 0.5, 1.0, 2.0, 4.0, 8.0])
    values = model.base_model(torch.tensor([[1, 3, 5, 3]])).last_hidden_state
    assert values[0, :, 0].tolist() == [0.5, 2.5, 10.5, 12.5]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("order", [1, 3])
def test_a_row_normalised_once_is_what_every_position_would_have_said(order: int, temperature: float) -> None:
    made = network(order, torch.float64)
    tokens = sample(made, PROMPTS, SamplingParams(1.0, 5), Draws(1)).tokens
    logp, entropy = heads.response_logprobs_and_entropy(made.model, tokens, temperature)
    everywhere = (made.model(tokens.ids).logits / temperature).log_softmax(-1)
    plain = everywhere.detach()
    for row, (prompt, length) in enumerate(zip(tokens.prompt_lengths.tolist(), tokens.lengths.tolist(), strict=True)):
        for at in range(tokens.ids.shape[1]):
            row_logp = plain[row, at - 1]
            inside = prompt <= at < length
            expected = (row_logp[tokens.ids[row, at]], -(row_logp.exp() * row_logp).sum()) if inside else (0.0, 0.0)
            got = (logp[row, at].item(), entropy[row, at].item())
            assert got == pytest.approx([float(x) for x in expected], abs=1e-12)
    weight = torch.rand(logp.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (table_gradient,) = torch.autograd.grad((weight * logp).sum(), made.model.table)
    chosen = everywhere[:, :-1].gather(2, tokens.ids[:, 1:, None]).squeeze(2)
    (gradient,) = torch.autograd.grad((weight * tokens.response_mask)[:, 1:].mul(chosen).sum(), made.model.table)
    torch.testing.assert_close(table_gradient, gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize("text", ["{", "[]", '{"model_type": "llama"}'])
def test_what_is_no_table(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert not tabular.is_tabular(tmp_path)
