"""A reward model as a scorer: the numbers that transformers gives, and the tokens of its training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from trueward.algorithms import reward_model as training
from trueward.batches import Tokens
from trueward.config import RewardConfig
from trueward.models import heads, loading
from trueward.models.network import Network
from trueward.records import Comparison, Completion, Prompt, Response
from trueward.scorers import reward_model
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale
from trueward.training.setup import Ranking

MakeNetwork = Callable[..., Network]
CPU = torch.device("cpu")


def comparison(prompt: str, first: tuple[str, bool], second: tuple[str, bool]) -> Comparison:
    return Comparison(
        prompt=Prompt(text=prompt),
        first=Response(id="1", text=first[0], finished=first[1]),
        second=Response(id="2", text=second[0], finished=second[1]),
        probability=1.0,
        source="test",
    )


def test_transformers_gives_the_same_numbers(
    make_reward: MakeNetwork, demonstrations: list[Completion], tmp_path: Path
) -> None:
    scorer = RewardModel(make_reward(), Scale(0.25, 1.5), micro_batch_tokens=40)
    raw = scorer.raw(demonstrations)
    assert raw.std() > 0.1
    scorer.save(tmp_path / "reward")

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "reward")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "reward").eval()
    assert model.config.num_labels == 1
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    texts = [c.prompt.text + c.response + (tokenizer.eos_token if c.finished else "") for c in demonstrations]
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right", return_token_type_ids=False)
    with torch.no_grad():
        expected = model(**batch).logits[:, 0].double().numpy()
    np.testing.assert_allclose(raw, expected, atol=1e-5)


def test_the_scale_is_saved_with_the_model(
    make_reward: MakeNetwork, demonstrations: list[Completion], tmp_path: Path
) -> None:
    scorer = RewardModel(make_reward(), Scale(1 / 3, 0.7))
    scorer.save(tmp_path / "reward")
    again = reward_model.load(tmp_path / "reward", CPU)
    assert again.scale == Scale(1 / 3, 0.7)
    raw = scorer.raw(demonstrations)
    np.testing.assert_allclose(again.raw(demonstrations), raw, atol=1e-6)
    verdicts = again(demonstrations)
    assert [v.parts["raw"] for v in verdicts] == pytest.approx(raw.tolist(), abs=1e-6)
    assert [v.score for v in verdicts] == pytest.approx(((raw - 1 / 3) / 0.7).tolist(), abs=1e-5)


def test_a_reward_model_from_elsewhere_is_taken_as_it_is(make_reward: MakeNetwork, tmp_path: Path) -> None:
    network = make_reward()
    network.model.save_pretrained(tmp_path / "reward")
    network.tokenizer.save_pretrained(tmp_path / "reward")
    assert reward_model.load(tmp_path / "reward", CPU).scale == Scale(0.0, 1.0)


def test_scores_do_not_depend_on_micro_batches_or_order(
    make_reward: MakeNetwork, demonstrations: list[Completion]
) -> None:
    network = make_reward()
    whole = RewardModel(network, Scale(0, 1), 10_000).raw(demonstrations)
    for budget in (1, 25, 60):
        np.testing.assert_allclose(RewardModel(network, Scale(0, 1), budget).raw(demonstrations), whole, atol=1e-5)
    np.testing.assert_allclose(RewardModel(network, Scale(0, 1)).raw(demonstrations[::-1]), whole[::-1], atol=1e-5)


def test_scoring_reads_the_very_tokens_of_training(make_reward: MakeNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        comparison("the new film", (" is great .", True), (" is great .", False)),
        comparison("a long drama about war", (" was dull and the plot", False), (" was", True)),
        comparison("this story", ("", True), (" feels warm", True)),
    ]
    seen: list[list[int]] = []
    original = heads.sequence_states  # both go through it

    def watched(model: Any, tokens: Tokens) -> torch.Tensor:
        seen.extend(ids[:n].tolist() for ids, n in zip(tokens.ids, tokens.lengths.tolist(), strict=True))
        return original(model, tokens)

    monkeypatch.setattr(heads, "sequence_states", watched)
    network = make_reward()
    config = RewardConfig(batch_size=3, epochs=1)
    setup = Ranking(network=network, comparisons=rows, seed=0, micro_batch_tokens=1000)
    list(training.train(config, setup, training.start(config, setup)))
    trained, seen[:] = sorted(seen), []
    completions = [side for row in rows for side in row.completions()]
    RewardModel(network, Scale(0, 1)).raw(completions)
    assert sorted(seen) == trained
    assert len(trained) == 6
    end = network.tokenizer.eos_token_id
    for completion in completions:
        plain = network.tokenizer(completion.prompt.text + completion.response)["input_ids"]
        assert plain + [end] * completion.finished in trained
    assert sum(ids[-1] == end for ids in trained) == 4
    assert all(end not in ids[:-1] for ids in trained)


def test_transformers_reads_an_answer_that_was_cut_after_an_unknown_word_as_we_do(make_reward: MakeNetwork) -> None:
    network = make_reward()
    network.tokenizer.pad_token = None  # as in many tokenizers
    loading.separate_pad(network.model, network.tokenizer)
    completion = Completion(prompt=Prompt(text="the film"), response=" is zyzzyva", finished=False)
    ids = torch.tensor([network.tokenizer("the film is zyzzyva")["input_ids"]])
    with torch.no_grad():
        expected = network.model(input_ids=ids).logits.item()
    assert RewardModel(network, Scale(0, 1)).raw([completion]).tolist() == pytest.approx([expected], abs=1e-5)
