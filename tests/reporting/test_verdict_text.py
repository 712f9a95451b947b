"""The verdict in words: every number with a name and a unit, none twice, none lost."""

from __future__ import annotations

from typing import get_args

from trueward.evaluation import verdict
from trueward.reporting import verdict_text

NUMBERS = {
    "step": 20, "evaluations": 5, "truth_gain": 0.5756, "truth_gain_se": 0.1, "truth_gain_z": 3.83, "needed_z": 3.144,
    "proxy_gain": -0.91, "proxy_gain_se": 0.128, "kl": 0.0104, "kl_se": 0.001,
}  # fmt: skip
FALL = {"peak_step": 5, "drop": 0.27, "drop_low": -0.05, "drop_high": 0.5, "drop_z": 2.5, "drop_needed_z": 2.2414}


def named(numbers: verdict_text.Numbers) -> dict[str, str]:
    return {name: text.replace("\u00a0", " ") for name, text in verdict_text.facts(numbers)}


def test_every_word_has_a_meaning() -> None:
    assert set(verdict_text.MEANING) == set(get_args(verdict.Word))
    assert set(verdict_text.TONE) < set(verdict_text.MEANING)


def test_numbers_with_names_and_units() -> None:
    assert named(NUMBERS) == {
        "Truth against SFT’s": "+0.58 ± 0.20 SD",
        "Its test": "z = 3.8, and evaluation 5 needs 3.1",
        "Proxy against SFT’s": "−0.91 ± 0.25 SD",
        "KL to SFT": "0.010 ± 0.002 nats",
    }


def test_what_decided_is_said_too() -> None:
    shares = {"accuracy": 0.52, "accuracy_low": 0.46, "accuracy_high": 0.581}
    facts = named({**NUMBERS, **FALL, "drop_least": 0.25, **shares, "control_kl": 0.5, "control_kl_se": None})
    assert facts["Down from its peak"] == "0.27 SD (−0.05 to 0.50) below step 5"
    assert facts["Test of the fall"] == "z = 2.5, and a fall needs 2.2"
    assert facts["A fall counts from"] == "0.25 SD"
    assert facts["Reward model’s accuracy"] == "52.0 % (95 %: 46.0–58.1 %)"
    assert facts["KL of a random reward"] == "0.50 nats"


def test_what_is_unknown_is_shown_as_it_is_and_what_is_missing_is_not() -> None:
    assert named({"p": -0.00041, "who": "me", "none": None}) == {"p": "−0.00041", "who": "me", "none": "–"}
    assert named({"truth_gain": None, "truth_gain_se": None, "truth_gain_z": None, "needed_z": 3.0}) == {}


def test_a_sentence_for_the_terminal() -> None:
    row = {
        "word": "learning",
        "rule": "the truth is above SFT’s",
        "numbers": {**NUMBERS, **FALL, "kl": 9.06, "drop_least": 0.25},
    }
    assert verdict_text.sentence(row).replace("\u00a0", " ") == (
        "learning: the truth is above SFT’s (truth +0.58 ± 0.20 SD, proxy −0.91 SD, KL 9.1 nats)."
    )
    statistics = verdict_text.statistics(row).replace("\u00a0", " ")
    assert statistics.startswith(
        "The verdict’s numbers: truth against SFT’s +0.58 ± 0.20 SD; its test z = 3.8, and evaluation 5 needs 3.1; "
    )
    assert "; KL to SFT 9.06 ± 0.00 nats; " in statistics
    assert statistics.endswith("; a fall counts from 0.25 SD.")


def test_a_sentence_says_what_is_known() -> None:
    bare = {"word": "inconclusive", "rule": "nothing yet", "numbers": {}}
    assert verdict_text.sentence(bare) == "inconclusive: nothing yet."
    assert verdict_text.statistics(bare) == ""
    unmeasured = {**bare, "numbers": {"truth_gain": None, "proxy_gain": 0.4, "proxy_gain_se": 0.2, "kl": 0.0104}}
    text = verdict_text.sentence(unmeasured).replace("\u00a0", " ")
    assert text == "inconclusive: nothing yet (proxy +0.40 SD, KL 0.010 nats)."
