"""People's preferences between a run's answers and SFT's, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SPACE = "\u00a0"
Row = Mapping[str, Any]


def sentences(people: Row) -> list[str]:
    """The sentences about `people` in report.json; empty if no people judged."""
    if not people:
        return []
    pairs, judged = people.get("pairs") or 0, people.get("judged") or 0
    done = f"{judged} of {pairs} pairs of {people.get('project')}"
    same = people.get("same") or 0
    equal = f" ({same} more were two equal answers, which count half)" if same else ""
    if people.get("complete"):
        lines = [f"People judged {done}{equal}: {_share(people, 'win_rate_low', 'win_rate_high')}, 95{SPACE}%)."]
    elif judged:
        so_far = _share(people, "any_time_low", "any_time_high")
        lines = [
            f"Waiting for people: {done} are judged{equal}. Of these {so_far}, an interval of 95{SPACE}% that holds whenever "
            "one looks)."
        ]
    else:
        lines = [f"Waiting for people: {done} are judged."]
    lines += _powered(people.get("powered") or {}, bool(people.get("complete")))
    known = [row for row in people.get("steps") or [] if row.get("win_rate") is not None]
    if known:
        rates = ", ".join(f"{100 * row['win_rate']:.0f}{SPACE}% at step {row['step']}" for row in known)
        lines.append(f"At the evaluations in training they preferred the policy’s answers in {rates}.")
    return lines


def _share(people: Row, low: str, high: str) -> str:
    if people.get("win_rate") is None:
        return "nothing is known ("
    ends = f"{100 * people[low]:.0f}–{100 * people[high]:.0f}{SPACE}%"
    return f"they prefer the policy’s answer to SFT’s in {100 * people['win_rate']:.0f}{SPACE}% ({ends}"


def _powered(row: Row, complete: bool) -> list[str]:
    """What people say of all pairs, with a judge's help; the interval is one for many looks while pairs are open."""
    if not row.get("judged"):
        return []
    judge, both, pairs = row.get("judge"), row["judged"], row["pairs"]
    low, high = ("win_rate_low", "win_rate_high") if complete else ("any_time_low", "any_time_high")
    asked = f"{both} judged by people and {pairs} by {judge}"
    if row.get(low) is None:
        return [f"With {asked}, there is no interval yet: it takes 10 prompts that people judged."]
    holds = "" if complete else " that holds whenever one looks"
    half = 50 * (row[high] - row[low])
    lines = [
        f"Over all {pairs} pairs people prefer the policy’s answer in {100 * row['win_rate']:.0f}{SPACE}% ± {half:.0f} "
        f"({100 * row[low]:.0f}–{100 * row[high]:.0f}{SPACE}%, an interval of 95{SPACE}%{holds}): {asked}, whose bias is "
        "taken off."
    ]
    if row.get("unjudged"):
        lines.append(
            f"Of {row['unjudged']} pairs {judge} said nothing, which counts as a tie of its and costs width alone."
        )
    if row["weight"] == 0:
        lines.append(f"{judge} tells nothing of what people say there (weight 0), so it narrows nothing.")
    else:
        alone = 50 * (row["alone_high"] - row["alone_low"])
        lines.append(
            f"{judge} and people correlate by {row['correlation']:.2f} where both judged; people alone would know it to ± "
            f"{alone:.0f}{'' if complete else ' at the end'}."
        )
    lines.append(_clicks(row, both, pairs))
    return lines


def _clicks(row: Row, both: int, pairs: int) -> str:
    needed, points = row.get("needed"), f"± {row['points']:g} points"
    if needed is None:
        return f"For {points} all {pairs} pairs are not enough: evaluate on more prompts (evaluation.final_prompts)."
    if needed <= both:
        return f"For {points} no more clicks are needed."
    return f"For {points} people have to judge about {needed - both} pairs more."
