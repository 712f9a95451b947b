"""`trueward evaluate`: two checkpoints by any scorer, blind and in both orders."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from trueward import config
from trueward.pipeline import head_to_head
from trueward.pipeline.head_to_head import blind
from trueward.pipeline.records import read_prompts
from trueward.records import Completion, Prompt, Score

Command = Callable[..., tuple[int, str, str]]


def answers(texts: Sequence[str]) -> list[Completion]:
    return [Completion(prompt=Prompt(text="q"), response=text) for text in texts]


def test_a_scorer_that_does_not_mind_the_order_is_taken_at_its_word() -> None:
    found, effect = blind(
        lambda cs: [Score(score=len(c.response)) for c in cs], [answers(["a", "bbb"]), answers(["cc"])], 0
    )
    assert [list(side) for side in found] == [[1.0, 3.0], [2.0]]
    assert effect == 0.0


def test_the_place_in_the_list_is_averaged_away_and_reported() -> None:
    """A judge that adds what stands first: over a list and its reverse all places are worth the same."""

    def biased(completions: Sequence[Completion]) -> list[Score]:
        return [Score(score=len(c.response) + 0.1 * place) for place, c in enumerate(completions)]

    texts = ["a" * (1 + i % 3) for i in range(40)]
    found, effect = blind(biased, [answers(texts[:20]), answers(texts[20:])], 3)
    assert np.concatenate(found) == pytest.approx(np.array([len(t) for t in texts]) + 0.1 * 39 / 2)
    assert effect == pytest.approx(0.1 * 39)


def test_the_scorer_can_not_know_whose_answer_is_whose() -> None:
    seen: list[list[str]] = []

    def watching(completions: Sequence[Completion]) -> list[Score]:
        seen.append([c.response for c in completions])
        return [Score(score=0.0) for _ in completions]

    blind(watching, [answers(["x"] * 30), answers(["y"] * 30)], 0)
    first, second = seen
    assert first == second[::-1]
    assert 5 < first[:30].count("x") < 25


def test_a_run_is_set_beside_its_sft_policy(command: Command, baseline: Path) -> None:
    code, out, _ = command("evaluate", str(baseline), "--json")
    assert code == 0
    found = json.loads(out)
    assert found["against"] == str(baseline / "sft")
    assert [row["scorer"] for row in found["scorers"]] == ["b", "proxy"]
    for row in found["scorers"]:
        assert row["order_effect"] < 1e-4
        assert row["difference"] == pytest.approx(row["model"]["mean"] - row["against"]["mean"])
        assert row["difference_low"] < row["difference"] < row["difference_high"]
    assert found["kl"]["mean"] > 0
    again = json.loads(command("evaluate", str(baseline), "--json")[1])
    assert again == found


def test_the_best_checkpoint_never_answers_the_prompts_that_it_was_picked_on(command: Command, baseline: Path) -> None:
    """Not even if more are wanted than are left; the last policy, which nothing picked, answers all."""
    held_out = read_prompts(baseline / "prepare" / "prompts_held_out.jsonl")
    recipe = config.read(str(baseline / "recipe.toml"))
    used = {json.loads(row)["prompt"] for row in (baseline / "policy/samples.jsonl").read_text().splitlines()}
    unused = head_to_head.not_picked_on(held_out, recipe)
    assert {str(p) for p in held_out} - {str(p) for p in unused} == used
    for model, count in (("best", len(unused)), ("", len(held_out))):
        named = str(baseline / "policy" / model) if model else str(baseline)
        code, out, _ = command("evaluate", named, "--scorer", "b", "--max-new-tokens", "2", "--json")
        assert code == 0
        assert json.loads(out)["prompts"] == count
    with pytest.raises(ValueError, match="was picked on all 16 held-out prompts"):
        head_to_head.not_picked_on(held_out[:16], recipe)


def test_a_model_against_itself_is_a_draw(command: Command, baseline: Path) -> None:
    sft = str(baseline / "sft")
    code, out, _ = command("evaluate", sft, "--against", sft, "--scorer", "b", "--json")
    assert code == 0
    (row,) = (found := json.loads(out))["scorers"]
    # Other draws, so not exactly 0: within 4.5 standard errors, of which the interval is 3.9 wide.
    assert abs(row["difference"]) < 4.5 / 3.92 * (row["difference_high"] - row["difference_low"])
    assert found["kl"]["mean"] == pytest.approx(0.0, abs=1e-9)


def test_the_table_on_the_terminal(command: Command, baseline: Path) -> None:
    reward = baseline / "reward_model" / "model"
    code, out, _ = command("evaluate", str(baseline), "--against", str(baseline / "sft"), "--scorer", f"model:{reward}")
    assert code == 0
    assert "baseline against sft" in out
    assert "KL of baseline from sft" in out
    assert max(map(len, out.splitlines())) <= 100


def test_a_model_of_no_run_wants_prompts_and_a_scorer(command: Command, baseline: Path, tmp_path: Path) -> None:
    code, _, err = command("evaluate", "trueward:tiny")
    assert (code, "--prompts FILE" in err) == (2, True)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "the new film"}\n{"prompt": "a long story"}\n')
    code, _, err = command("evaluate", "trueward:tiny", "--prompts", "prompts.jsonl")
    assert (code, "--scorer model:DIRECTORY" in err) == (2, True)
    code, _, err = command("evaluate", "trueward:tiny", "--prompts", "prompts.jsonl", "--scorer", "b")
    assert (code, "expected model:DIRECTORY" in err) == (2, True)
    reward = baseline / "reward_model" / "model"
    code, out, _ = command(
        "evaluate", "trueward:tiny", "--prompts", "prompts.jsonl", "--scorer", f"model:{reward}", "--json"
    )
    assert code == 0
    found = json.loads(out)
    assert (found["prompts"], found["against"], found["kl"]) == (2, None, None)
    assert set(found["scorers"][0]) == {"scorer", "order_effect", "missing", "model"}
