"""The verdict in words: a plain sentence, its statistics in another, and all its numbers with names and units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Numbers = Mapping[str, Any]
SPACE = "\u00a0"
HALF = 1.96  # standard errors: half a 95 % interval

MEANING = {
    "learning": "What training pushes up is also what it is for.",
    "over-optimised": "Training went too far: an earlier checkpoint is better than the last one.",
    "hacking": "The policy found out what the reward model likes and the truth does not.",
    "pinned": "The anchor holds the policy where it began: a lower policy.kl_coef would let it move.",
    "no signal": "The reward model has nothing to teach: more comparisons, or cleaner ones, come first.",
    "broken": "Something in the machinery is wrong, so no other number of this run can be trusted.",
    "inconclusive": "These measurements do not tell: more prompts, or more steps, might.",
}
TONE = {"learning": "good", "over-optimised": "bad", "hacking": "bad", "broken": "bad"}


def facts(numbers: Numbers) -> list[tuple[str, str]]:
    """Names and values, in words and units; numbers without a name here come last, under their keys."""
    rest = dict(numbers)
    named = [
        ("Truth against SFT’s", _gain(rest, "truth_gain", "SD")),
        ("Its test", _test(rest)),
        ("Proxy against SFT’s", _gain(rest, "proxy_gain", "SD")),
        ("KL to SFT", _gain(rest, "kl", "nats", "")),
        ("Down from its peak", _drop(rest)),
        ("Test of the fall", _test_of_fall(rest)),
        ("A fall counts from", _least(rest)),
        ("No alarm can be given", _missing(rest)),
        ("Reward model’s accuracy", _accuracy(rest)),
        ("KL of a random reward", _gain(rest, "control_kl", "nats", "")),
    ]
    for key in ("step", "evaluations"):
        rest.pop(key, None)
    return [(name, text) for name, text in named if text] + [(key, loose(value)) for key, value in rest.items()]


def sentence(verdict: Mapping[str, Any]) -> str:
    """The word and its rule; in brackets how far truth and proxy are from SFT's, and the KL. No test statistic."""
    numbers = dict(verdict.get("numbers") or {})
    proxy = {"proxy_gain": numbers.get("proxy_gain")}  # the truth's interval is the one that decides
    parts = {
        "truth": _gain(numbers, "truth_gain", "SD"),
        "proxy": _gain(proxy, "proxy_gain", "SD"),
        "KL": _rounded_kl(numbers.get("kl")),
    }
    changes = ", ".join(f"{name} {text}" for name, text in parts.items() if text)
    rule = str(verdict.get("rule") or "")
    return f"{verdict.get('word') or ''}: {rule}" + (f" ({changes})." if changes else ".")


def statistics(verdict: Mapping[str, Any]) -> str:
    """Every number of the verdict with its name and interval, the test statistics too; empty if there are none."""
    numbers = "; ".join(f"{name[0] if name[1].isupper() else name[0].lower()}{name[1:]} {text}"
                      for name, text in facts(verdict.get("numbers") or {}))  # fmt: skip
    return f"The verdict’s numbers: {numbers}." if numbers else ""


def loose(value: Any) -> str:
    """A value from JSON as text, whatever its type."""
    if isinstance(value, float):
        return _sign(f"{value:.4g}")
    return "–" if value is None else value if isinstance(value, str) else str(value)


def _sign(text: str) -> str:
    return text.replace("-", "−")


def _gain(rest: dict[str, Any], key: str, unit: str, plus: str = "+") -> str:
    value, se = rest.pop(key, None), rest.pop(f"{key}_se", None)
    if value is None:
        return ""
    digits = 2 if abs(value) >= 0.1 or plus else 3  # a small KL keeps more digits
    gain = _sign(f"{value:{plus}.{digits}f}") + (f"{SPACE}±{SPACE}{HALF * se:.{digits}f}" if se is not None else "")
    return f"{gain}{SPACE}{unit}"


def _rounded_kl(value: float | None) -> str:
    """14.3 nats; a small KL keeps more digits."""
    if value is None:
        return ""
    digits = 1 if abs(value) >= 0.95 else 2 if abs(value) >= 0.1 else 3
    return f"{_sign(f'{value:.{digits}f}')}{SPACE}nats"


def _test(rest: dict[str, Any]) -> str:
    z, needed, evaluations = rest.pop("truth_gain_z", None), rest.pop("needed_z", None), rest.get("evaluations")
    if z is None or needed is None or evaluations is None:
        return ""
    return f"z = {_sign(f'{z:.1f}')}, and evaluation {evaluations} needs {_sign(f'{needed:.1f}')}"


def _drop(rest: dict[str, Any]) -> str:
    drop, low, high = (rest.pop(key, None) for key in ("drop", "drop_low", "drop_high"))
    step = rest.pop("peak_step", None)
    if drop is None or low is None or high is None:
        return ""
    return _sign(f"{drop:.2f}{SPACE}SD ({low:.2f} to {high:.2f}) below step {step}")


def _test_of_fall(rest: dict[str, Any]) -> str:
    z, needed = rest.pop("drop_z", None), rest.pop("drop_needed_z", None)
    return "" if z is None or needed is None else f"z = {_sign(f'{z:.1f}')}, and a fall needs {needed:.1f}"


def _least(rest: dict[str, Any]) -> str:
    least = rest.pop("drop_least", None)
    return "" if least is None else f"{least:.2f}{SPACE}SD"


def _missing(rest: dict[str, Any]) -> str:
    missing = rest.pop("prompts_missing", None)
    return "" if missing is None else f"{missing} held-out prompt{'s' if missing > 1 else ''} missing"


def _accuracy(rest: dict[str, Any]) -> str:
    share, low, high = (rest.pop(key, None) for key in ("accuracy", "accuracy_low", "accuracy_high"))
    if share is None or low is None or high is None:
        return ""
    return f"{100 * share:.1f}{SPACE}% (95{SPACE}%: {100 * low:.1f}–{100 * high:.1f}{SPACE}%)"
