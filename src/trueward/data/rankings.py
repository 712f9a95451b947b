"""K responses to one prompt in order (`rankings`), read as their K(K - 1)/2 pairs and written back from them.

The pairs of one ranking carry its name in `group`. A reward model takes all pairs of a prompt as one element of a batch
and holds prompts out whole, so they are never parted (InstructGPT, Ouyang et al. 2022, arXiv 2203.02155, section 3.5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from trueward.data import context, scored
from trueward.data.flat import EMPTY, EMPTY_PROMPT, IDENTICAL
from trueward.data.jsonl import kind
from trueward.data.rows import Row
from trueward.records import Comparison, Prompt, Response, response_id

ALONE = "one response alone"
LISTS = ("responses", "answers", "completions", "generations", "candidates", "outputs")


def is_ranking(row: Row) -> bool:
    """Whether the row holds a list of responses."""
    return any(row.column(name) for name in LISTS[:2]) or any(isinstance(row.values.get(n), list) for n in LISTS)


def parse(row: Row, source: str, left_out: Counter[str]) -> list[Comparison]:
    """All pairs of the ranking, in the order in which its responses are listed; what is of no use is counted."""
    name = next((name for name in LISTS if row.has(name)), "")
    if not context.has_prompt(row):
        raise row.error('missing field "prompt"')
    if not name:
        if row.column(*LISTS):
            row.unusable("expected a list of responses, got none", "no responses")
        raise row.error('missing field "responses"')
    values = row.values[name]
    row.taken.add(name)
    if not isinstance(values, list):
        raise row.error(f"expected a list of responses, got {kind(values)}", name)
    texts = [_text(row, value, f"{name}[{place}]") for place, value in enumerate(values)]
    ranks = scored.ranks(row, name, values) if len(texts) > 1 else [1.0] * len(texts)
    prompt = row.offered(context.read(row))
    group, annotator = row.name("group"), row.name("annotator")
    if len(texts) < 2 or not prompt:
        left_out[EMPTY_PROMPT if not prompt else ALONE] += 1
        return []
    if len(texts) > 2:
        group = group or f"{source.removeprefix('file:')}:{row.number}"
    source = row.name("source") or source
    if empty := sum(not text.strip() for text in texts):
        left_out[EMPTY] += empty
    ranked = [(Response(id=response_id(prompt, t), text=t), r) for t, r in zip(texts, ranks, strict=True) if t.strip()]
    pairs = []
    for (first, one), (second, other) in combinations(ranked, 2):
        if first.text == second.text:
            left_out[IDENTICAL] += 1
            continue
        probability = 0.5 if one == other else float(one < other)
        pairs.append(
            Comparison(
                prompt=prompt,
                first=first,
                second=second,
                probability=probability,
                source=source,
                annotator=annotator,
                group=group,
            )
        )
    return pairs


def _text(row: Row, value: object, place: str) -> str:
    if isinstance(value, list):
        inner = Row(row.where, {place: value}, options=row.options)
        text = inner.answer(place)
        row.ignored_keys |= inner.ignored_keys
        return text
    if isinstance(value, dict):
        value = next((value[key] for key in ("answer", "response", "text", "content", "value") if key in value), None)
    if not isinstance(value, str):
        raise row.error(f"expected a response, got {kind(value)}", place)
    return value


def rows_of(comparisons: Sequence[Comparison]) -> list[tuple[dict[str, Any], list[Comparison]]]:
    """Rankings, each with the comparisons that it stands for: whole groups that are rankings, all others as pairs."""
    groups: dict[object, list[Comparison]] = {}
    for place, comparison in enumerate(comparisons):
        groups.setdefault(comparison.group or place, []).append(comparison)
    rankings: list[tuple[dict[str, Any], list[Comparison]]] = []
    for group in groups.values():
        if row := _row(group):
            rankings.append((row, group))
        else:
            rankings += [(_pair(c), [c]) for c in group]
    return rankings


def _row(group: Sequence[Comparison]) -> dict[str, Any] | None:
    """The ranking of which these are all pairs in their order; None if there's no such one."""
    texts = list(dict.fromkeys(side.text for c in group for side in (c.first, c.second)))
    labels = {(c.first.text, c.second.text): c.probability for c in group}
    pairs = list(combinations(texts, 2))
    sources = {(c.prompt, c.source, c.annotator) for c in group}
    if len(sources) > 1 or [(c.first.text, c.second.text) for c in group] != pairs:
        return None
    ahead = Counter[str]()
    for (one, other), probability in labels.items():
        if probability not in (0, 0.5, 1):
            return None
        if probability != 0.5:
            ahead[other if probability == 1 else one] += 1  # so many are better than it
    ranks = {text: 1 + ahead[text] for text in texts}
    if any(labels[p] != (0.5 if ranks[p[0]] == ranks[p[1]] else float(ranks[p[0]] < ranks[p[1]])) for p in pairs):
        return None
    return _as_row(group[0], texts, [ranks[text] for text in texts], group[0].group)


def _pair(c: Comparison) -> dict[str, Any]:
    ranks = [1, 1] if c.probability == 0.5 else [1, 2] if c.probability > 0.5 else [2, 1]
    return _as_row(c, [c.first.text, c.second.text], ranks, None)


def _as_row(c: Comparison, texts: list[str], ranks: list[int], group: str | None) -> dict[str, Any]:
    row = {"prompt": _prompt(c.prompt), "responses": texts, "ranks": ranks, "source": c.source}
    further = {"annotator": c.annotator, "group": group, "tools": list(c.prompt.tools) or None}
    return row | {name: value for name, value in further.items() if value is not None}


def _prompt(prompt: Prompt) -> str | list[dict[str, Any]]:
    return prompt.text or [message.model_dump(mode="json") for message in prompt.messages]
