"""A stage's measurements in sentences, and the command to continue with: what a run that ends early prints last."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, variance
from typing import Any

from trueward.artifacts import read_json
from trueward.reporting import cross_check_text, start_text
from trueward.reporting.formatting import between, count, percent, plain, signed

Row = dict[str, Any]
FALLING_Z, FEWEST = 2.0, 8


def sentences(stage: Path) -> list[str]:
    """The measurements of a finished stage, read from its directory, in sentences."""
    summary = read_json(stage / "manifest.json")["summary"]
    write: Callable[[Row, Path], list[str]] = SENTENCES.get(stage.name, lambda summary, stage: [])
    return [text.replace("\u00a0", " ") for text in write(summary, stage)]


def still_falling(losses: Sequence[float]) -> bool:
    """Whether the mean of the last quarter of a loss is below that of the quarter before, by more than noise."""
    quarter = len(losses) // 4
    if len(losses) < FEWEST:
        return False
    before, last = losses[-2 * quarter : -quarter], losses[-quarter:]
    error = ((variance(before) + variance(last)) / quarter) ** 0.5
    return bool(fmean(before) - fmean(last) > FALLING_Z * error)


def next_command(until: str, run: Path, arguments: Sequence[str]) -> str:
    """The command to continue with after a run that ended with the stage `until`. arguments: of the present command."""
    if arguments[:1] == ["sft"]:
        model = run / "sft" / "model"
        return f"trueward reward-model --model {model} --dataset comparisons.jsonl --out {run}-reward"
    if arguments[:1] == ["reward-model"]:
        at = {name: value for name, value in _options(arguments) if name.startswith("--model")}
        policy = next(iter(at.values()), "SFT_MODEL")
        model = run / "reward_model" / "model"
        return f"trueward ppo --sft-model-path {policy} --reward-model-path {model} --dataset prompts.jsonl --out {run}-ppo"
    if until == "report":
        return f"trueward sample {run} --prompt 'this is a film' --compare {run / 'sft'}"
    without = [word for name, value in _options(arguments) if not name.startswith("--until") for word in (name, value)]
    return shlex.join(["trueward", *(word for word in without if word)])


def _options(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """The words of a command, each option with its value if that is a separate word."""
    rest, pairs = list(arguments), []
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        apart = word.startswith("--") and not equals and rest and not rest[0].startswith("--")
        pairs.append((name if equals and name in ("--until", "--model") else word, rest.pop(0) if apart else ""))
        if equals and name in ("--until", "--model"):
            pairs[-1] = (name, value)
    return pairs


def _rows(path: Path) -> list[Row]:
    return [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines() if row] if path.is_file() else []


def _of_prepare(summary: Row, stage: Path) -> list[str]:
    out = sum(row["rows"] for row in summary["left_out"])
    return [
        f"{count(summary['prompts'])} prompts and {count(summary['demonstrations'])} demonstrations to learn from; "
        f"{count(summary['prompts_held_out'])} prompts are held out"
        + (f", {count(out)} rows were left out." if out else ".")
    ]


def _of_sft(summary: Row, stage: Path) -> list[str]:
    texts, losses = [], [row["nll"] for row in _rows(stage / "metrics.jsonl")]
    before, after = summary["held_out_nll_before"], summary["held_out_nll_after"]
    if losses and after is not None:
        texts.append(f"Held-out NLL {plain(before)} → {plain(after)} nats a token.")
    if answers := _rows(stage / "reference.jsonl"):
        ended = fmean(row.get("finished", True) for row in answers)
        texts.append(f"Of {count(len(answers))} answers of its own, {percent(ended)} ended by themselves.")
    if losses:
        falling = still_falling(losses)
        more = "the loss was still falling: more sft.epochs, or a higher sft.learning_rate, would go further."
        texts.append(f"{count(len(losses))} steps: {more if falling else 'the loss had levelled off.'}")
    return texts


def _of_comparisons(summary: Row, stage: Path) -> list[str]:
    ties = f", of which {count(summary['ties'])} are ties" if summary.get("ties") else ""
    agree = summary.get("agreement")
    return [
        f"{count(summary['comparisons'])} comparisons{ties}"
        + (f"; the annotators' agreement is {percent(agree)}." if agree is not None else "."),
        *([f"{ended}."] if (ended := start_text.of_unfinished(summary)) else []),
    ]


def _of_reward_model(summary: Row, stage: Path) -> list[str]:
    if summary.get("accuracy") is None:
        return [
            f"Its scores have mean {plain(summary.get('mean'))} and SD {plain(summary.get('sd'))} under the SFT policy."
        ]
    interval = between(summary.get("accuracy_low"), summary.get("accuracy_high"))
    losses = [row["loss"] for row in _rows(stage / "metrics.jsonl")]
    more = ": the loss was still falling, more reward.epochs may help." if still_falling(losses) else "."
    return [
        f"It picks the annotator's choice in {percent(summary['accuracy'])} of {count(summary['held_out'])} held-out "
        "comparisons" + (f" (95 %: {interval})." if interval else "."),
        *([f"{count(len(losses))} steps{more}"] if losses else []),
        *([begun] if (begun := start_text.of_model(summary)) else []),
        *([both] if (both := cross_check_text.of_model(summary)) else []),
    ]


def _of_reward(summary: Row, stage: Path) -> list[str]:
    return [f"The reward of SFT's own answers has mean {plain(summary['mean'])} and SD {plain(summary['sd'])}."]


def _of_policy(summary: Row, stage: Path) -> list[str]:
    texts = [
        f"{count(summary['steps'])} steps" + (f", stopped: {summary['stopped']}." if summary.get("stopped") else ".")
    ]
    if rows := _rows(stage / "evaluations.jsonl"):
        last = rows[-1]
        verdict = f"; so far: {last['verdict']}" if last.get("verdict") else ""
        texts.append(f"{_where(last)} after step {last['step']}{verdict}.")
    if summary.get("best_step") is not None:
        texts.append(f"The best checkpoint by truth is that of step {summary['best_step']}.")
    return texts


def _of_evaluation(summary: Row, stage: Path) -> list[str]:
    row = summary["policies"]["policy"]
    share = row.get("win_rate")
    return [
        f"{_where(row)}" + (f"; {percent(share)} of its answers are preferred to SFT's." if share is not None else ".")
    ]


def _where(row: Row) -> str:
    """Proxy, truth and KL of an evaluation."""
    truth = f", truth {signed(row['truth'])}" if row.get("truth") is not None else ""
    return f"Proxy {signed(row['proxy'])}{truth} SD, at a KL of {plain(row['kl'], 1)} nats"


SENTENCES: dict[str, Callable[[Row, Path], list[str]]] = {
    "prepare": _of_prepare,
    "sft": _of_sft,
    "comparisons": _of_comparisons,
    "reward_model": _of_reward_model,
    "reward": _of_reward,
    "policy": _of_policy,
    "evaluation": _of_evaluation,
}
