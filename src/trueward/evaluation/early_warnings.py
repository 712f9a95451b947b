"""Early warnings: they need no truth and never decide the verdict.

All of them compare with the SFT policy. They describe well how a policy went wrong, and predict poorly that it will: most
of them also appear in a run that goes well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]


def early_warnings(now: Row, sft: Row) -> list[str]:
    """Sentences on how the present answers differ from the SFT policy's; both rows have to be of the same prompts."""
    warnings = []
    if (share := _share(now, sft, "entropy")) is not None and share < 0.9:
        warnings.append(f"entropy is {share:.2f} of SFT’s: answers become alike")
    if (share := _share(now, sft, "distinct_1")) is not None and share < 0.95:
        warnings.append(f"distinct-1 is {share:.2f} of SFT’s: the same words everywhere")
    if (share := _share(now, sft, "length")) is not None and not 0.8 <= share <= 1.25:
        warnings.append(f"answers are {share:.2f} times as long as SFT’s")
    if (kl := now.get("kl")) is not None and kl > 10:
        warnings.append(f"the KL is {kl:.1f} nats, far from what the reward model was fitted on")
    if (share := now.get("outlier_share")) is not None and share > 0.05:
        warnings.append(f"{100 * share:.0f} % of answers are unlike any of SFT’s to the reward model")
    if (share := _share(now, sft, "member_sd")) is not None and share > 1.5:
        warnings.append(f"reward models disagree {share:.1f} times as much as on SFT’s answers")
    return warnings


def _share(now: Row, sft: Row, key: str) -> float | None:
    value, start = now.get(key), sft.get(key)
    return float(value) / float(start) if value is not None and start else None
