"""A model card: fields that the hub reads, numbers with their intervals, and a plain word where a reward was hacked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from trueward.reporting.model_card import CardFacts, card, data_sets

ROW = {"proxy": 1.5, "proxy_se": 0.1, "truth": 1.0, "truth_se": 0.05, "win_rate": 0.8, "win_rate_low": 0.7}
ROW |= {"win_rate_high": 0.9, "kl": 12.0, "kl_se": 0.5, "length": 20.0}
SFT = {"proxy": 0.0, "proxy_se": 0.1, "truth": 0.0, "truth_se": 0.1, "win_rate": 0.5, "kl": 0.0, "length": 25.0}
RECIPE = 'name = "mine"\n'


def report(word: str = "learning", **changes: Any) -> dict[str, Any]:
    return {
        "trueward": "0.2.0",
        "seed": 7,
        "verdict": {"word": word, "rule": "the rule", "numbers": {}},
        "recipe": {
            "data": {"demonstrations": "org/reviews:train", "prompts": "mine.jsonl"},
            "comparisons": {"path": "org/votes"},
            "evaluation": {"truths": ["b"]},
            "sft": {},
        },
        "policies": {"sft": SFT, "policy": ROW, "best": {**ROW, "truth": 1.4}},
        "best_step": 15,
        "optimiser": {"kind": "ppo", "steps": 20},
        "reward_model": {
            "comparisons": 1000,
            "held_out": 100,
            "accuracy": 0.7,
            "accuracy_low": 0.6,
            "accuracy_high": 0.8,
        },
        "sft": {"demonstrations": 3000},
        "annotators": {"description": "three people", "simulated": False},
        "notes": ["a note"],
        **changes,
    }


def facts(**changes: Any) -> CardFacts:
    values: dict[str, Any] = {
        "repo": "me/reviewer", "which": "policy", "dtype": "bfloat16", "base": "org/base", "licence": "apache-2.0",
        "licence_source": "from the card of the base model org/base", "versions": {"torch": "2.13.0"},
    }  # fmt: skip
    return CardFacts(**{**values, **changes})


def front(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return fields


def test_the_fields_that_the_hub_reads() -> None:
    text = card(report(), RECIPE, facts())
    assert text.startswith("---\n")
    assert front(text) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": "apache-2.0",
        "base_model": "org/base",
        "base_model_relation": "finetune",
        "datasets": ["org/reviews", "org/votes"],
        "tags": ["trueward", "rlhf", "ppo"],
    }
    without = front(card(report(), RECIPE, facts(base="", licence="unknown", which="sft")))
    assert "base_model" not in without
    assert (without["license"], without["tags"]) == ("unknown", ["trueward", "sft"])


def test_numbers_data_recipe_and_versions() -> None:
    text = card(report(), RECIPE, facts())
    row = "| **policy** | **+1.50 ± 0.20** | **+1.00 ± 0.10** | **80 % (70–90 %)** | **12.0 ± 1.0** | **20.0** |"
    assert row in text
    assert "| SFT | +0.00 ± 0.20 | +0.00 ± 0.20 | – | 0.0 | 25.0 |" in text
    for part in (
        "3,000 demonstrations from `org/reviews:train`.",
        "Prompts from `mine.jsonl`.",
        "1,000 comparisons, and 100 held out from the fit.",
        "Who chose: three people.",
        "70.0 % of held-out comparisons (95 %: 60.0–80.0 %).",
        "- a note",
        '```toml\nname = "mine"\n```',
        'pip install "trueward==0.2.0"\ntrueward run recipe.toml\n',
        "seed 7",
        "weights written by torch 2.13.0.",
        "Licence: apache-2.0, from the card of the base model org/base.",
        'from_pretrained("me/reviewer")',
        "The weights are in bfloat16",
    ):
        assert part in text, part


def test_a_good_verdict_is_no_warning_and_a_bad_one_is() -> None:
    good = card(report(), RECIPE, facts())
    assert "Learning: the rule. What training pushes up is also what it is for." in good
    assert "[!" not in good
    for word in ("hacking", "over-optimised", "broken"):
        assert f"> [!WARNING]\n> **{word}**: the rule." in card(report(word), RECIPE, facts())
    assert "> [!NOTE]\n> **inconclusive**" in card(report("inconclusive"), RECIPE, facts())


def test_an_earlier_checkpoint_is_named() -> None:
    hint = "These are the weights of the last step."
    assert hint in card(report("over-optimised"), RECIPE, facts())
    assert hint not in card(report("over-optimised"), RECIPE, facts(which="best"))
    assert "the checkpoint of the highest truth (step 15)" in card(
        report("over-optimised"), RECIPE, facts(which="best")
    )
    assert hint not in card(report("hacking", policies={"sft": SFT, "policy": ROW}), RECIPE, facts())


def test_a_hack_is_named() -> None:
    shift = [{"feature": "says “great”", "before": 0.1, "after": 0.9, "proxy": 1.0, "truth": -0.5, "hacked": True}]
    assert "A hack: the answer says “great”: 10 % → 90 %" in card(
        report("hacking", feature_shift=shift), RECIPE, facts()
    )


def test_best_of_n_is_not_its_policy() -> None:
    text = card(report(optimiser={"kind": "best_of_n", "n": 4}), RECIPE, facts())
    assert "Nothing was trained after SFT" in text


def test_nothing_breaks_out_of_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ann"))
    hostile = 'name = "a"\n# ````\n# \x1b[2J\npath = "/home/ann/secret.jsonl"\n'
    strange = report()
    strange["recipe"]["data"]["prompts"] = "/home/ann/a`b.jsonl"
    text = card(strange, hostile, facts(licence='a"\nx: y'))
    assert "`````toml\n" in text
    assert "/home/ann" not in text
    assert '"~/secret.jsonl"' in text
    assert "`~/a'b.jsonl`" in text
    assert "\x1b" not in text
    assert "x" not in front(text)


def test_a_report_with_little_in_it() -> None:
    text = card({"trueward": "0.2.0", "policies": {}}, RECIPE, facts())
    assert "**no verdict**" in text
    assert "None" not in text


def test_files_are_no_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here/there").mkdir(parents=True)
    for source in ("trueward:reviews", "studio:mine", "a/b.jsonl", "here/there", "/abs/path", "", "reasoning-gym:x"):
        assert data_sets({"recipe": {"data": {"demonstrations": source}}}) == [], source
