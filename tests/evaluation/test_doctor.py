"""The doctor's rules on figures made by hand: a healthy run, and each rule on either side of its lines."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trueward.evaluation.doctor import DoctorInputs, diagnose
from trueward.evaluation.doctor_rules import RULES
from trueward.evaluation.doctor_thresholds import LINES
from trueward.reporting import doctor_text

SFT = {
    "proxy": 0.0, "proxy_se": 0.06, "truth": 0.0, "truth_se": 0.06, "kl": 0.0, "eos_rate": 0.95, "length": 20.0,
    "unique": 1.0, "distinct_1": 0.4, "outlier_share": 0.01, "echo_rate": 0.0,
}  # fmt: skip
POLICY = {
    "proxy": 1.2, "proxy_se": 0.03, "truth": 1.3, "truth_se": 0.05, "kl": 13.0, "eos_rate": 1.0, "length": 19.0,
    "unique": 0.9, "distinct_1": 0.25, "outlier_share": 0.1, "proxy_at_length": 1.1, "proxy_at_length_se": 0.1,
    "truth_at_length": 1.2, "prompts": 256, "proxy_gain": 1.2, "proxy_gain_z": 20.0, "second_gain": 1.0, "second_gain_se": 0.06,
    "second_shortfall": -0.4, "second_shortfall_z": -6.0,
}  # fmt: skip
HEALTHY = DoctorInputs(
    recipe={
        "sft": {"model": ""},
        "comparisons": {"source": "simulated", "length_bias": 0.0},
        "reward": {"normalize": True, "epochs": 1.0, "learning_rate": 5e-4},
        "policy": {
            "kind": "ppo",
            "kl_coef": 0.05,
            "missing_eos_penalty": 1.0,
            "value_learning_rate": 1e-3,
            "critic": {"start": "reward_model"},
        },
    },
    sft={"held_out_nll_before": 4.1, "held_out_nll_after": 3.9},
    comparisons={"agreement": 0.72},
    reward_model={
        "comparisons": 3149, "accuracy": 0.64, "accuracy_low": 0.59, "accuracy_high": 0.69, "nll": 0.63, "train_nll": 0.58,
        "train_accuracy": 0.69, "slope": 0.9, "slope_high": 1.2, "mean": 1.2, "sd": 0.67, "raw_mean": 1.2, "raw_sd": 0.67,
        "explained_by_ending": 0.1, "explained_by_length": 0.2,
        "probe_accuracy": 0.62, "probe_ahead": -0.02, "probe_ahead_low": -0.05,
    },
    policies={"sft": SFT, "policy": POLICY},
    history=[{"step": 0, **SFT}, {"step": 20, **POLICY}],
    reward_steps=[{"loss": 0.69, "accuracy": 0.5}] * 3 + [{"loss": 0.6, "accuracy": 0.66}],
    policy_steps=[{"val/explained_variance": v, "objective/kl": 5.0} for v in (-2.0, -3.0, -8.0, 0.2, 0.5, 0.6)],
)  # fmt: skip


def with_(inputs: DoctorInputs = HEALTHY, recipe: dict[str, Any] | None = None, **changes: Any) -> DoctorInputs:
    """A run with some figures changed; `recipe` by dotted names, `policy` and `start` by figures of a row."""
    tree = {k: dict(v) for k, v in inputs.recipe.items()}
    for key, value in (recipe or {}).items():
        section, *inner, last = key.split(".")
        at = tree[section]
        for part in inner:
            at[part] = dict(at[part])
            at = at[part]
        at[last] = value
    rows = {"sft": {**SFT, **changes.pop("start", {})}, "policy": {**POLICY, **changes.pop("policy", {})}}
    history = changes.pop("history", [{"step": 0, **rows["sft"]}, {"step": 20, **rows["policy"]}])
    parts = {k: {**getattr(inputs, k), **v} if isinstance(v, dict) else v for k, v in changes.items()}
    return replace(inputs, recipe=tree, policies=rows, history=history, **parts)


def faults(inputs: DoctorInputs) -> list[str]:
    return [f.fault for f in diagnose(inputs, RULES).findings]


def variance(*values: float) -> list[dict[str, float]]:
    return [{"val/explained_variance": v, "objective/kl": 1.0} for v in values]


ILL = {
    "sft": {"start": {"eos_rate": 0.1}, "sft": {"held_out_nll_after": 4.1}},
    "labels": {"comparisons": {"agreement": 0.52}, "reward_model": {"accuracy": 0.5, "accuracy_low": 0.45}},
    "comparisons": {
        "reward_model": {"accuracy": 0.52, "accuracy_low": 0.47, "accuracy_high": 0.57},
        "policy": {"truth": 0.1},
    },
    "overfitting": {"reward_model": {"nll": 1.2, "train_nll": 0.1, "slope": 0.2, "slope_high": 0.3}},
    "tokens": {"reward_model": {"train_nll": 0.76}},
    "probe": {"reward_model": {"probe_ahead": 0.05, "probe_ahead_low": 0.01, "probe_accuracy": 0.7}},
    "normalisation": {"reward_model": {"mean": 0.0, "sd": 1.0}},
    "endings": {"reward_model": {"explained_by_ending": 0.94}, "policy": {"truth": 0.2}},
    "length-reward": {"reward_model": {"explained_by_length": 0.94}, "policy": {"truth": 0.2}},
    "cross-check": {"policy": {"second_gain": 0.1, "second_shortfall": 0.5, "second_shortfall_z": 8.0, "truth": 0.1}},
    "anchor": {"recipe": {"policy.kl_coef": 0.0}, "policy": {"kl": 61.0, "distinct_1": 0.03}},
    "slack": {"recipe": {"policy.kl_coef": 20.0}, "policy": {"kl": 0.04, "proxy": 0.1, "proxy_at_length": 0.1, "truth": 0.0}},
    "unmoved": {"policy": {"kl": 0.04, "proxy": 0.1, "proxy_at_length": 0.1, "truth": 0.0}},
    "eos-penalty": {"recipe": {"policy.missing_eos_penalty": 0.0}, "policy": {"eos_rate": 0.6}},
    "stale": {"policy": {"outlier_share": 0.9, "truth": -0.7}},
    "value": {"policy_steps": variance(0, -1, -2, -9, -8, -7)},
    "length": {"policy": {"length": 30.0, "proxy_at_length": 0.05, "truth": 0.3}},
}  # fmt: skip


def test_a_healthy_run_has_no_finding_and_all_is_looked_at() -> None:
    diagnosis = diagnose(HEALTHY, RULES)
    assert diagnosis.findings == []
    assert diagnosis.checked == list(RULES)
    assert diagnosis.not_checked == {}


@pytest.mark.parametrize("fault", RULES)
def test_each_rule_names_its_rung_and_that_alone(fault: str) -> None:
    assert faults(with_(**ILL[fault])) == [fault]


@pytest.mark.parametrize(
    ("recipe", "setting"),
    [
        ({"reward.kind": "judge"}, "judge.principles"),
        ({"comparisons.source": "judge"}, "judge.principles"),
        ({"reward.kind": "mix"}, "reward.kind"),
        ({"comparisons.source": "demonstrations"}, "data.demonstrations"),
        ({"comparisons.length_bias": 2.0}, "comparisons.length_bias"),
        ({}, "comparisons.path"),
    ],
)
def test_what_to_change_against_length_depends_on_who_paid_for_it(recipe: dict[str, Any], setting: str) -> None:
    (finding,) = diagnose(with_(**ILL["length"] | {"recipe": recipe}), RULES).findings
    assert list(finding.advice) == [setting]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("it ends, though its loss is the base model's: it had had its SFT", {"sft": {"held_out_nll_after": 4.1}}),
        ("cut by a short limit, but taught", {"start": {"eos_rate": 0.1}, "policy": {"eos_rate": 0.1}}),
        ("noisy labels, enough of them", {"comparisons": {"agreement": 0.55}}),
        ("accuracy low, but surely above a coin", {"reward_model": {"accuracy": 0.55, "accuracy_low": 0.52}}),
        ("accuracy not above a coin, but the truth rose", {"reward_model": {"accuracy": 0.55, "accuracy_low": 0.45}}),
        ("too sure, but not by heart", {"reward_model": {"slope": 0.3, "slope_high": 0.5}}),
        ("by heart, but not too sure", {"reward_model": {"nll": 0.65, "train_nll": 0.3}}),
        ("a little worse scored again, as chance has it", {"reward_model": {"train_nll": 0.74}}),
        ("no anchor, and still near", {"recipe": {"policy.kl_coef": 0.0}}),
        ("far, but not too far, with an anchor", {"policy": {"kl": 45.0, "distinct_1": 0.1}}),
        ("a high β that lets it move", {"recipe": {"policy.kl_coef": 3.0}, "policy": {"kl": 0.4, "proxy": 0.5}}),
        (
            "a high β that moves further than its control",
            {
                "recipe": {"policy.kl_coef": 3.0},
                "control": {"kl": 0.01, "kl_se": 0.002},
                "policy": {"kl": 0.04, "proxy": 0.1, "truth": 0.0},
            },
        ),
        ("near, but the proxy rose", {"policy": {"kl": 0.3}}),
        ("its endings are worth something", {"reward_model": {"explained_by_ending": 0.9}}),
        (
            "hardly more comparisons than few, and the truth rose",
            {"reward_model": {"comparisons": 101, "accuracy": 0.55, "accuracy_low": 0.45}},
        ),
        ("a second model sees little, and the truth rose", {"policy": {"second_gain": 0.1, "second_shortfall_z": 8.0}}),
        ("a second model sees less, not surely", {"policy": {"second_gain": 0.5, "second_shortfall_z": 2.0, "truth": 0.1}}),
        ("some more are cut", {"policy": {"eos_rate": 0.8}}),
        ("far from home, and good", {"policy": {"outlier_share": 0.9}}),
        ("at home, and worse", {"policy": {"truth": -0.7}}),
        ("forecasts bad at first", {"policy_steps": variance(-9, -9, -9, -0.1, 0.2, 0.3)}),
        ("longer and truly better", {"policy": {"length": 30.0, "proxy_at_length": 0.05}}),
        ("longer, and better at every length", {"policy": {"length": 30.0, "truth": 0.3}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_looks_like_it_and_is_not(name: str, change: dict[str, Any]) -> None:
    assert faults(with_(**change)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"policy": {"kl": 13.0, "unique": 0.3}},
        {"policy": {"truth": -0.5}},
        {"history": [{"step": 0, **SFT}, {"step": 5, **POLICY, "kl": 64.0}, {"step": 20, **POLICY}]},
    ],
    ids=["alike", "worse", "once far"],
)
def test_each_sign_of_a_missing_anchor(change: dict[str, Any]) -> None:
    assert faults(with_(recipe={"policy.kl_coef": 0.0}, **change)) == ["anchor"]
    assert "anchor" not in faults(with_(recipe={"policy.kl_coef": 0.05}, **change))


def test_a_second_model_is_looked_for_where_there_is_one() -> None:
    ill = with_(**ILL["cross-check"])
    (finding,) = diagnose(ill, RULES).findings
    assert (finding.evidence["proxy_gain"], finding.evidence["second_gain"]) == (1.2, 0.1)
    assert finding.advice == {"comparisons.count": 12596}
    (of_people,) = diagnose(with_(**ILL["cross-check"], recipe={"comparisons.source": "file"}), RULES).findings
    assert list(of_people.advice) == ["comparisons.path"]
    unfinished = replace(ill, policies={})
    assert faults(unfinished) == ["cross-check"]
    alone = {key: None for key in POLICY if key.startswith("second")}
    assert "reward.cross_check = true" in diagnose(with_(policy=alone), RULES).not_checked["cross-check"]


def test_a_peak_that_was_left_counts_as_a_fall() -> None:
    history = [{"step": 0, **SFT}, {"step": 10, **POLICY, "truth": 2.0}, {"step": 20, **POLICY, "outlier_share": 0.9}]
    diagnosis = diagnose(with_(policy={"outlier_share": 0.9}, history=history), RULES)
    (stale,) = diagnosis.findings
    assert stale.evidence["truth_at_its_best"] == 2.0
    assert stale.advice["policy.steps"] == 10


@pytest.mark.parametrize(("beta", "fault"), [(3.0, "slack"), (1.0, "unmoved"), (0.05, "unmoved")])
def test_what_the_verdict_calls_pinned_has_a_name(beta: float, fault: str) -> None:
    """The control's KL is the noise, however large: a policy no further than that has not been moved by the reward."""
    still = {"kl": 1.4, "kl_se": 0.1, "proxy": 0.1, "truth": 0.0}
    change = {"recipe": {"policy.kl_coef": beta}, "policy": still}
    assert faults(with_(**change, control={"kl": 1.5, "kl_se": 0.1})) == [fault]
    assert faults(with_(**change, control={"kl": 1.0, "kl_se": 0.1})) == []


def test_far_below_what_beta_allows_is_unmoved_too() -> None:
    still = {"kl": 0.04, "proxy": 0.1, "truth": 0.0}
    noise = {"kl": 0.001, "kl_se": 0.001}
    assert faults(with_(recipe={"policy.kl_coef": 1.0}, policy=still, control=noise)) == ["unmoved"]
    assert faults(with_(recipe={"policy.kl_coef": 1.0}, policy={**still, "kl": 0.06}, control=noise)) == []


def test_a_gain_by_a_handful_of_comparisons_is_luck() -> None:
    few = {"comparisons": 16, "accuracy": 0.56, "accuracy_low": 0.33, "accuracy_high": 0.77}
    assert faults(with_(reward_model=few)) == ["comparisons"]
    assert faults(with_(reward_model={**few, "comparisons": 160})) == []


def test_the_lowest_broken_rung_comes_first() -> None:
    both = {**ILL["sft"], "policy": {"eos_rate": 0.0, "outlier_share": 0.9, "truth": -0.7}, "start": {"eos_rate": 0.3}}
    assert faults(with_(**both)) == ["sft", "eos-penalty", "stale"]


def test_a_reward_that_is_misread_is_not_called_too_few_comparisons() -> None:
    few = {**ILL["comparisons"]["reward_model"], **ILL["tokens"]["reward_model"]}
    assert faults(with_(reward_model=few, policy={"truth": 0.1})) == ["tokens"]


def test_what_is_missing_is_said_and_not_guessed() -> None:
    diagnosis = diagnose(DoctorInputs(recipe=HEALTHY.recipe), RULES)
    assert diagnosis.findings == []
    assert diagnosis.checked == []
    assert list(diagnosis.not_checked) == list(RULES)
    text = doctor_text.lines(diagnosis)
    assert text[0] == "Nothing found."
    assert "Not checked: anchor (no trained policy was measured)." in text


def test_older_runs_are_read() -> None:
    """Before the report of the reward model: `train` for fitted comparisons, no slope, no outliers."""
    older = {k: v for k, v in HEALTHY.reward_model.items() if k in ("comparisons", "held_out", "accuracy", "nll", "sd")}
    older |= {"accuracy_low": 0.59, "accuracy_high": 0.69, "mean": 1.2, "train": {"nll": 0.58, "accuracy": 0.69}}
    assert faults(replace(HEALTHY, reward_model=older)) == []
    assert faults(replace(HEALTHY, reward_model={**older, "nll": 1.0})) == ["overfitting"]


def test_the_words() -> None:
    diagnosis = diagnose(with_(**ILL["anchor"]), RULES)
    text = doctor_text.lines(diagnosis)
    assert text[0].startswith("1. anchor: Nothing holds the policy near SFT")
    assert "kl_coef 0, kl 61," in text[1]
    assert "   change: policy.kl_coef: the best of several: trueward sweep RECIPE" in "\n".join(text)
    assert doctor_text.first(diagnosis.table()) == f"The doctor, on anchor: {diagnosis.findings[0].what}"
    assert doctor_text.first(None) == doctor_text.first({"findings": []}) == ""


def test_every_line_is_drawn_somewhere_and_explained_in_the_docs() -> None:
    root = Path(__file__).parents[2]
    rules = sorted((root / "src/trueward/evaluation").glob("doctor_*.py"))
    source = "".join(path.read_text(encoding="utf-8") for path in rules)
    assert set(re.findall(r"""line\(["'](\w+)["']\)""", source)) == set(LINES)
    page = (root / "docs/doctor.md").read_text(encoding="utf-8")
    table = page.partition("\n## Where it draws its lines\n")[2].partition("\n## ")[0]
    rows = re.finditer(r"^\| `(\w+)` \| ([-\d.]+) \| (.*) \|$", table, re.MULTILINE)
    documented = {row[1]: (float(row[2]), row[3].strip()) for row in rows}
    assert documented == {name: (drawn.value, drawn.why) for name, drawn in LINES.items()}


def test_the_page_lists_the_faults_in_their_order() -> None:
    page = (Path(__file__).parents[2] / "docs/doctor.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[`([\w-]+)`\]", page, re.MULTILINE) == list(RULES)


def test_comparisons_that_a_straight_line_learns_from_are_not_too_few() -> None:
    weak = {"accuracy": 0.52, "accuracy_low": 0.47, "accuracy_high": 0.57}
    ahead = {"probe_ahead": 0.07, "probe_ahead_low": 0.02, "probe_accuracy": 0.62}
    assert faults(with_(reward_model=weak, policy={"truth": 0.1})) == ["comparisons"]
    assert faults(with_(reward_model={**weak, **ahead}, policy={"truth": 0.1})) == ["probe"]
