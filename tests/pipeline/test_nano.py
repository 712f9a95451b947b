"""The facts of the recipe `nano`, run in memory: who compares, what is held out, what is left as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from trueward import config
from trueward.pipeline.cache import MemoryCache
from trueward.pipeline.eval_setup import EvalSetup
from trueward.pipeline.parts import Parts
from trueward.pipeline.policy import optimise
from trueward.pipeline.reward_eval import split_comparisons
from trueward.pipeline.run import run_in_memory
from trueward.pipeline.scorer_factory import ScorerFactory
from trueward.records import Comparison, Completion, Score
from trueward.scorers.scorer import Scorer, scores
from trueward.scorers.simulated import pick
from trueward.training.journal import MemoryJournal

WHOLE_REFERENCE = True  # how often annotators without noise agree is known of all of its pairs

SHORT = ("evaluation.control=never", "evaluation.step_prompts=8", "policy.batch_size=32")


def nano(*changes: str) -> config.Recipe:
    return config.read("nano", changes)


def truth_of(recipe: config.Recipe, found: dict[str, Any], cache: MemoryCache) -> Any:
    """The first truth, as a run's evaluations have it."""
    factory = ScorerFactory(cache.env, recipe.seed, recipe.reward, None, recipe.evaluation.options)
    prepared, sft = found["prepare"].value, found["sft"].value
    setup = EvalSetup(prepared, sft, factory, recipe.sampler, recipe.evaluation.truths, recipe.seed)
    return setup.evaluator(None).truths[0]


def noise(scorer: Scorer, rows: Sequence[Comparison]) -> tuple[float, float, float]:
    """How often the worse of two unequal answers was chosen; the share of equals; and of all how often, equals half."""
    first, second = (scores(scorer, [c.completions()[i] for c in rows]) for i in (0, 1))
    chosen = np.array([c.probability for c in rows])
    unequal = first != second
    wrong = float(np.mean((first > second)[unequal] != chosen[unequal].astype(bool)))
    equal = float(np.mean(~unequal))
    return wrong, equal, wrong * (1 - equal) + equal / 2


def test_the_facts_of_a_run() -> None:
    recipe, cache = (
        nano("seed=1", "comparisons.count=300", "policy.steps=3", "evaluation.every=3", *SHORT),
        MemoryCache(),
    )
    found = run_in_memory(recipe, cache, until="policy")
    rows = found["comparisons"].value.rows
    assert len(rows) == found["comparisons"].summary["comparisons"] == 300
    train, examined = split_comparisons(rows, recipe.reward.held_out)
    assert 15 < len(examined) < 50
    assert found["reward_model"].summary["held_out"] == len(examined)
    assert found["reward_model"].summary["comparisons"] == len(train)
    prepared, sft = found["prepare"].value, found["sft"].value
    assert not {p.text for p in prepared.prompts} & {p.text for p in prepared.prompts_held_out}
    truth = truth_of(recipe, found, cache)
    reference = scores(truth.scorer, sft.answers).reshape(-1, 2)
    assert truth.scale.mean == pytest.approx(reference.mean())
    assert truth.scale.sd == pytest.approx(np.sqrt(reference.var(axis=1, ddof=1).mean()))
    before = sft.policy.model.table.clone()
    del cache.made[found["policy"].digest]
    again = run_in_memory(recipe, cache, until="policy")
    assert again["sft"] is found["sft"]
    assert again["policy"] is not found["policy"]
    one, two = ([{**row, "seconds": 0} for row in run["policy"].value.evaluations] for run in (found, again))
    assert one == two
    assert not torch.equal(again["policy"].value.load().model.table, before)
    assert torch.equal(sft.policy.model.table, before)


def test_annotators_without_noise_are_wrong_about_equals_alone() -> None:
    cache, found = MemoryCache(), {}
    for agreement, count in ((0.89, 200), (0.625, 1000)):
        recipe = nano("seed=1", f"comparisons.count={count}", f"comparisons.agreement={agreement}")
        made = run_in_memory(recipe, cache, until="comparisons")
        liked = pick(made["prepare"].value.annotators, recipe.comparisons.annotator)
        found[agreement] = noise(liked, made["comparisons"].value.rows)
    wrong, equal, all_told = found[0.89]
    assert wrong < 0.03 < 0.25 < found[0.625][2]
    assert equal > 0
    assert all_told > wrong


def test_another_scorer_can_be_optimised() -> None:
    def river(completions: Sequence[Completion]) -> list[Score]:
        return [Score(score=float("river" in c.response.split())) for c in completions]

    cache = MemoryCache()
    recipe = nano(
        "comparisons.count=100", "policy.kl_coef=0", "policy.steps=15", "evaluation.every=15", "policy.warmup=0"
    )
    made = run_in_memory(recipe, cache, until="reward_model")

    def climb(scorer: Scorer | None) -> list[dict[str, Any]]:
        values = {"prepared": "prepare", "sft": "sft", "reward": "reward_model"}
        trained = optimise(
            **{name: made[stage].value for name, stage in values.items()},
            comparisons=None,
            **Parts(recipe).optimising,
            env=cache.env,
            journal=MemoryJournal(),
            scorer=scorer,
        )
        return trained.evaluations

    rows = climb(river)
    assert abs(rows[-1]["proxy"]) < 3
    plain = climb(None)
    assert plain[-1]["proxy"] > rows[-1]["proxy"] + 1


def test_a_wrong_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="kl_coeff"):
        nano("policy.kl_coeff=0.1")


def test_a_liking_for_length_has_no_effect_where_all_are_as_long(capfd: pytest.CaptureFixture[str]) -> None:
    found = run_in_memory(nano("comparisons.length_bias=5", "comparisons.count=40", *SHORT), until="comparisons")
    said = capfd.readouterr().err
    assert said.count("comparisons.length_bias has no effect: the two answers of every pair have the same number") == 1
    plain = run_in_memory(nano("comparisons.count=40", *SHORT), until="comparisons")
    assert found["comparisons"].value.rows == plain["comparisons"].value.rows
    assert "length_bias" not in capfd.readouterr().err
