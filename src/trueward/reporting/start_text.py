"""What a reward model started from (`reward.start = "probe"`), and which pairs were compared, in sentences."""

from __future__ import annotations

from typing import Any

from trueward.reporting.formatting import between, count, percent, plain

Row = dict[str, Any]


def of_model(model: Row) -> str:
    """The closed form beside the model that was kept; empty for a reward model that started from zero."""
    starts = model.get("starts") or []
    if not starts:
        return ""
    first, tuned = starts[0], sum(row.get("kept") == "fine-tuned" for row in starts)
    layers = f"the lowest {first['layers']} layers" if first.get("layers") else "all layers"
    interval = between(first.get("accuracy_low"), first.get("accuracy_high"), 1)
    text = (
        f"It started from a head in closed form on SFT’s frozen states of {layers}, which is right in "
        f"{percent(first.get('accuracy'), 1)} of the held-out comparisons"
        + (f" (95\u00a0%: {interval})" if interval else "")
        + f", with a loss of {plain(first.get('nll'), 3)}"
    )
    if not first.get("validation"):
        return f"{text}. Nothing was fine-tuned: it is the reward model."
    losses = (
        f"on {count(first['validation'])} comparisons set aside for that its loss was {plain(first.get('probe_nll'), 3)}, and "
        f"{plain(first.get('tuned_nll'), 3)} after fine-tuning"
    )
    if len(starts) > 1:
        text = f"{text} (the first of {len(starts)} members); {losses}"
        return f"{text}. Fine-tuning was kept in {tuned} of {len(starts)} members."
    if tuned:
        return f"{text}. Fine-tuning was kept: {losses}."
    return (
        f"{text}. Fine-tuning was not kept: {losses}; the closed form, fitted to all comparisons, is the reward model."
    )


def of_unfinished(summary: Row) -> str:
    """What was done about answers that were cut; empty where they were compared like others, or none was cut."""
    row = summary.get("unfinished") or {}
    if not row.get("answers"):
        return ""
    redrawn = f", {count(row['redrawn'])} of them sampled again until they ended" if row.get("how") == "redraw" else ""
    return f"{count(row['answers'])} answers were cut{redrawn}; {count(row['dropped'])} pairs with one were dropped"
