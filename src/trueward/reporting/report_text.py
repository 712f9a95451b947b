"""The sentences of a report: its headline, hacked features, limits of the accuracy. Empty where nothing is known."""

from __future__ import annotations

import json
import math
from typing import Any

from trueward.evaluation.guard_test import GUARD_FELL
from trueward.evaluation.noise import label_ceiling
from trueward.evaluation.printable import printable
from trueward.evaluation.statistics import NINETY_FIVE
from trueward.reporting import report_rows
from trueward.reporting.formatting import SPACE, count, percent, plain, signed

Report = dict[str, Any]


def headline(report: Report) -> str:
    """The changes of truth and proxy, the KL and the win rate, in one or two sentences."""
    report = printable(report)
    policy, sft, best = (report_rows.policy(report, key) for key in ("policy", "sft", "best"))
    model = report.get("reward_model") or {}
    if not report.get("policies") and model.get("accuracy") is not None:
        return f"The reward model is right in {percent(model['accuracy'], 1)} of comparisons that it was not fitted to."
    if not policy:
        return "No tuned policy has been measured yet."
    optimiser = report.get("optimiser") or {}
    changes = [_change("truth", policy, sft), _change("the proxy", policy, sft)]
    text = " and ".join(part for part in changes if part) or "neither truth nor proxy was measured"
    untrained = report_rows.is_best_of_n(report)
    if policy.get("kl") is not None:
        text += f", at a KL of {'at most ' if untrained else ''}{plain(policy['kl'], 1)}{SPACE}nats"
    if policy.get("win_rate") is not None:
        text += f"; {percent(policy['win_rate'])} of its answers are preferred to SFT’s"
    text = text[0].upper() + text[1:] + "."
    if untrained:
        text = (
            f"Nothing was trained: the SFT policy answered each prompt {count(optimiser.get('n'))} times, and the "
            f"reward model’s favourite was kept. {text}"
        )
    step, peak, last = report.get("best_step"), best.get("truth"), policy.get("truth")
    if step is not None and peak is not None and last is not None and peak > last:
        text += f" Truth was higher at step {step}: {signed(peak)}{SPACE}SD, against {signed(last)} at the end."
    return text


def prompts_line(report: Report) -> str:
    """The prompts of the final evaluation: `512 fresh prompts` if no evaluation in training used one, or what else they are."""
    on = report.get("evaluated_on") or {}
    rows = [report_rows.policy(report, key) for key in report_rows.POLICIES]
    prompts = next((row["prompts"] for row in rows if row.get("prompts")), None)
    number = "" if prompts is None else f"{count(prompts)} "
    if on.get("used_before") == 0 and not report_rows.is_best_of_n(report):
        return f"{number}fresh prompts"
    used = f", {count(on['used_before'])} of them used while training" if on.get("used_before") else ""
    return f"{number}held-out prompts{used}"


def hacked_line(report: Report) -> str:
    """The first feature that the proxy rewards and the truth does not, with its numbers; empty if there is none."""
    row = next((r for r in report.get("feature_shift") or [] if r.get("hacked")), None)
    if row is None:
        return ""
    return (
        f"A hack: the answer {row.get('feature')}: {percent(row.get('before'))} → {percent(row.get('after'))}, "
        f"proxy {signed(row.get('proxy'))}, truth {signed(row.get('truth'))}."
    )


def stopped_line(report: Report) -> str:
    """Why training ended before its last step; empty if it did not."""
    if not report.get("stopped"):
        return ""
    rows, planned = report_rows.history(report), ((report.get("recipe") or {}).get("policy") or {}).get("steps")
    at = f" at step {rows[-1]['step']}" + (f" of {planned}" if planned else "") if rows else ""
    setting = "guard_stops" if str(report["stopped"]).startswith(GUARD_FELL) else "stop_when"
    return f"Training stopped{at}, as evaluation.{setting} asks: {report['stopped']}."


def verifier_line(report: Report) -> str:
    """A 0-or-1 verifier's mean score of SFT's and the policy's answers; empty for other proxies."""
    if (report.get("reward") or {}).get("kind") != "verifier":
        return ""
    sft, policy = (report_rows.policy(report, key).get("proxy_raw") for key in ("sft", "policy"))
    if sft is None or policy is None or not (0 <= sft <= 1 and 0 <= policy <= 1):
        return ""
    return f"The verifier’s score is {percent(max(sft, 0.0))} on average for SFT’s answers, {percent(policy)} for the policy’s."


def ceiling_line(report: Report) -> str:
    """The best accuracy that the annotators' agreement A allows, in a sentence; empty if it isn't known.

    With p the chance of one's choice on a pair, two agree in A = E[p² + (1 − p)²] and the best guess is right in
    E[max(p, 1 − p)], which lies between A and (1 + √(2A − 1)) / 2.
    """
    sources = (report.get("reward_model") or {}, report.get("annotators") or {})
    if (agreement := next((s["agreement"] for s in sources if s.get("agreement") is not None), None)) is None:
        return ""
    text = f"Two annotators agree on {percent(agreement)} of comparisons"
    if not 0.5 <= agreement <= 1:  # then they are not independent draws, and nothing follows
        return text + "."
    low, high = label_ceiling(agreement)
    bounds = f"{percent(low)} and {percent(high)}"
    return f"{text}, so the best accuracy that any reward model can have on them lies between {bounds}."


def optimiser_line(report: Report) -> str:
    """A sentence about the optimiser's own figures: DPO's accuracy without a reward model, the KL bound of best-of-n."""
    report = printable(report)
    optimiser = report.get("optimiser") or {}
    if (accuracy := optimiser.get("held_out_accuracy")) is not None:
        return (
            f"DPO’s own reward, how much likelier it makes an answer than SFT does, picks the annotator’s choice in "
            f"{percent(accuracy, 1)} of the same held-out comparisons."
        )
    if (bound := optimiser.get("kl_bound")) is not None:
        return (
            f"Keeping the best of {count(optimiser.get('n'))} answers moves at most {plain(bound)}{SPACE}nats from SFT, "
            "whatever the reward model is like."
        )
    return ""


def recipe_text(recipe: Report) -> str:
    """The recipe as TOML; a setting that is not set is a comment, since TOML has no null."""
    lines: list[str] = []

    def section(path: str, content: Report) -> None:
        if path:
            lines.extend([""] * bool(lines) + [f"[{path}]"])
        for key, value in sorted(content.items(), key=lambda item: isinstance(item[1], dict)):
            if isinstance(value, dict):
                section(f"{path}.{key}" if path else key, value)
            else:
                words = json.dumps(value, ensure_ascii=False)
                lines.append(f"# {key} is not set" if value is None else f"{key} = {words}")

    section("", recipe)
    return "\n".join(lines)


def _change(name: str, policy: Report, sft: Report) -> str:
    """`truth rose by 1.20 SD`, or that it did not change measurably if the change is within its 95 % interval."""
    key = name.split()[-1]
    if (now := policy.get(key)) is None:
        return ""
    delta = now - (sft.get(key) or 0.0)  # the unit's zero is the SFT policy
    # As if the two were independent: they share prompts, so the interval is rather too wide than too narrow.
    noise = NINETY_FIVE * math.hypot(policy.get(f"{key}_se") or 0.0, sft.get(f"{key}_se") or 0.0)
    if policy.get(f"{key}_gain") is not None:  # prompt by prompt, against fresh answers, as in the verdict
        delta, noise = policy[f"{key}_gain"], NINETY_FIVE * (policy.get(f"{key}_gain_se") or 0.0)
    if abs(delta) <= noise:
        return f"{name} did not change measurably ({signed(delta)} ±{SPACE}{noise:.2f}{SPACE}SD)"
    return f"{name} {'rose' if delta > 0 else 'fell'} by {abs(delta):.2f}{SPACE}SD"
