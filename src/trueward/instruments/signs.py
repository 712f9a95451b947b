"""Early signs: alarms that need no truth. They warn and never decide.

All of them compare with the SFT policy. They are good at saying afterwards how a policy went wrong, and poor at
foretelling that it will: most of them also move in a run that goes well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]


def early_signs(now: Row, sft: Row) -> list[str]:
    """What of the present look is unlike the SFT policy's; both rows are of the same prompts, so that words compare."""
    found = []
    if (share := _share(now, sft, "entropy")) is not None and share < 0.9:
        found.append(f"entropy is {share:.2f} of SFT’s: answers become alike")
    if (share := _share(now, sft, "distinct_1")) is not None and share < 0.95:
        found.append(f"distinct-1 is {share:.2f} of SFT’s: the same words everywhere")
    if (share := _share(now, sft, "length")) is not None and not 0.8 <= share <= 1.25:
        found.append(f"answers are {share:.2f} times as long as SFT’s")
    if (kl := now.get("kl")) is not None and kl > 10:
        found.append(f"the KL is {kl:.1f} nats, far from what the reward model was fitted on")
    if (share := now.get("outlier_share")) is not None and share > 0.05:
        found.append(f"{100 * share:.0f} % of answers are unlike any of SFT’s to the reward model")
    if (share := _share(now, sft, "member_sd")) is not None and share > 1.5:
        found.append(f"reward models disagree {share:.1f} times as much as on SFT’s answers")
    return found


def _share(now: Row, sft: Row, key: str) -> float | None:
    value, start = now.get(key), sft.get(key)
    return float(value) / float(start) if value is not None and start else None
