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
