"""Before the first update the policy is the reference: EXACT, rows 9, 19 and 21."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import setups
import torch
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

from trueward.algorithms import grpo, ppo
from trueward.config import PolicyConfig
from trueward.models import heads, loading
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine
from trueward.sampling.sampler import SamplingParams, sample
from trueward.scorers.scorer import Scale
from trueward.training.critic import Critic

CPU = torch.device("cpu")
by_length = setups.scoring(lambda completion: float(len(completion.response)))


def engine(temperature: float) -> LocalEngine:
    return LocalEngine(SamplingParams(temperature=temperature, max_new_tokens=9, max_num_seqs=5))


@pytest.fixture
def with_dropout(make_policy: Callable[..., Network], tmp_path: Path) -> tuple[Path, Path]:
    """A policy and a reward model whose configurations ask for a dropout of one half."""
    tokenizer = make_policy().tokenizer
    places = []
    for kind in (GPT2LMHeadModel, GPT2ForSequenceClassification):
        torch.manual_seed(0)
        config = GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=48,
            n_embd=16,
            n_layer=2,
            n_head=2,
            num_labels=1,
            initializer_range=0.2,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            attn_pdrop=0.5,
            embd_pdrop=0.5,
            resid_pdrop=0.5,
            summary_first_dropout=0.5,
        )
        path = tmp_path / kind.__name__
        kind(config).save_pretrained(path)
        tokenizer.save_pretrained(path)
        places.append(path)
    return places[0], places[1]


@pytest.mark.parametrize("temperature", [1.0, 0.7, 1.6])
def test_no_dropout_from_the_sampler_to_the_last_update(
    with_dropout: tuple[Path, Path], toy_prompts: list[Prompt], temperature: float
) -> None:
    policy, reference = (loading.causal(str(with_dropout[0]), 0, CPU) for _ in range(2))
    value = loading.reward(str(with_dropout[1]), CPU)

    rollout = sample(policy, toy_prompts, engine(temperature).params, Draws(1))
    one, other = (heads.response_logprobs(policy.model, rollout.tokens, temperature) for _ in range(2))
    assert ((one - other).exp() - 1).abs().max() < 1e-6  # the same path twice
    assert ((one - rollout.logprobs).exp() - 1).abs().max() < 1e-4  # learner against sampler

    config = PolicyConfig(steps=2, batch_size=8, minibatches=2, learning_rate=1e-3)
    setup = setups.online(
        policy,
        reference,
        engine(temperature),
        by_length,
        toy_prompts,
        60,
        seed=0,
        critic=Critic(value, Scale(0.0, 1.0)),
    )
    steps = setups.run(ppo, config, setup).steps
    assert not any(module.training for n in (policy, reference, value) for module in n.model.modules())
    assert abs(steps[0].metrics["objective/kl"]) < 1e-4
    assert all(step.metrics["val/ratio_first"] < 1e-4 for step in steps)


@pytest.mark.parametrize("temperature", [0.7, 1.6])
@pytest.mark.parametrize("kind", ["grpo", "rloo"])
def test_groups_at_a_temperature(
    make_policy: Callable[..., Network], toy_prompts: list[Prompt], kind: str, temperature: float
) -> None:
    config = PolicyConfig(kind=kind, steps=1, batch_size=8, minibatches=1, epochs=1, group={"size": 4})
    setup = setups.online(make_policy(), make_policy(), engine(temperature), by_length, toy_prompts, 60, seed=0)
    (step,) = setups.run(grpo, config, setup).steps
    assert abs(step.metrics["objective/kl"]) < 1e-4
    assert step.metrics["val/ratio_first"] < 1e-4
    assert step.metrics["policy/clipfrac_avg"] == 0


def test_the_anchor_is_the_sft_artifact_and_no_model_by_name(
    baseline: Path, tmp_path: Path, climb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model given by name is read once, by its own stage; the policy's stage reads that stage's copy alone."""
    named = tmp_path / "named"
    named.mkdir()
    for file in (baseline / "policy/model").iterdir():
        (named / file.name).write_bytes(file.read_bytes())
    climb(tmp_path, "run", f"sft.model={named}", until="reward_model")

    seen: list[str] = []
    for function in ("causal", "reward", "reward_from_policy"):
        original = getattr(loading, function)

        def watched(place: Any, *rest: Any, original: Any = original, **more: Any) -> Any:
            seen.append(str(place))
            return original(place, *rest, **more)

        monkeypatch.setattr(loading, function, watched)
    climb(tmp_path, "run", f"sft.model={named}", until="policy")
    parts = {Path(place).relative_to(tmp_path / "run").parts[0] for place in seen}
    assert parts - {"policy"} == {"sft", "reward_model"}  # its own best policy, it may read again
    assert (tmp_path / "run/sft/model/model.safetensors").read_bytes() == (named / "model.safetensors").read_bytes()

    first = json.loads((tmp_path / "run/policy/evaluations.jsonl").read_text().splitlines()[0])
    assert (first["step"], first["kl"], first["kl_k1"]) == (0, 0, 0)
    step = json.loads((tmp_path / "run/policy/metrics.jsonl").read_text().splitlines()[0])
    assert abs(step["objective/kl"]) < 1e-4
    assert step["val/ratio_first"] < 1e-4
