"""The last words of a run that ends early: what its stage measured, and the next command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trueward.reporting import stage_text
from trueward.reporting.stage_text import next_command, still_falling

LEFT_OUT = [{"what": "prompts", "reason": "too long", "rows": 7}]


def stage(tmp_path: Path, name: str, summary: dict[str, Any], **logs: list[dict[str, Any]]) -> list[str]:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"summary": summary}))
    for log, rows in logs.items():
        (folder / f"{log}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return stage_text.sentences(folder)


def test_a_loss_that_falls_and_one_that_has_levelled_off() -> None:
    wave = [0.02 * (-1) ** i for i in range(18)]
    assert still_falling([3 - 0.1 * i + w for i, w in enumerate(wave)])
    assert not still_falling([3 + w for w in wave])
    assert not still_falling([3 + 0.1 * i for i in range(18)])
    assert not still_falling([3 - i for i in range(5)])  # too few to say


@pytest.mark.parametrize(("slope", "words"), [(0.1, "18 steps: the loss was still falling"), (0.0, "levelled off")])
def test_sft(tmp_path: Path, slope: float, words: str) -> None:
    losses = [{"nll": 4 - slope * i + 0.01 * (-1) ** i} for i in range(18)]
    answers = [{"response": " a"}, {"response": " b", "finished": False}, {"response": " c"}, {"response": " d"}]
    summary = {"held_out_nll_before": 4.8307, "held_out_nll_after": 1.8039}
    texts = stage(tmp_path, "sft", summary, metrics=losses, reference=answers)
    assert texts[:2] == [
        "Held-out NLL 4.83 → 1.80 nats a token.",
        "Of 4 answers of its own, 75 % ended by themselves.",
    ]
    assert words in texts[2]


def test_a_ready_model_has_learned_nothing_here(tmp_path: Path) -> None:
    summary = {"held_out_nll_before": 1.8, "held_out_nll_after": 1.8}
    assert stage(tmp_path, "sft", summary, reference=[{"response": " a"}]) == [
        "Of 1 answers of its own, 100 % ended by themselves."
    ]


@pytest.mark.parametrize(
    ("name", "summary", "expected"),
    [
        (
            "prepare",
            {"prompts": 1669, "prompts_held_out": 182, "demonstrations": 3598, "left_out": LEFT_OUT},
            "1,669 prompts and 3,598 demonstrations to learn from; 182 prompts are held out, 7 rows were left out.",
        ),
        (
            "comparisons",
            {"comparisons": 150, "agreement": 0.7467, "ties": 0},
            "150 comparisons; the annotators' agreement is 75 %.",
        ),
        (
            "reward_model",
            {"accuracy": 0.694, "accuracy_low": 0.643, "accuracy_high": 0.74, "held_out": 350},
            "It picks the annotator's choice in 69 % of 350 held-out comparisons (95 %: 64–74 %).",
        ),
        ("reward", {"mean": 0.5, "sd": 0.25}, "The reward of SFT's own answers has mean 0.50 and SD 0.25."),
        (
            "evaluation",
            {"policies": {"policy": {"proxy": 1.69, "truth": -0.5, "kl": 14.31, "win_rate": 0.94}}},
            "Proxy +1.69, truth −0.50 SD, at a KL of 14.3 nats; 94 % of its answers are preferred to SFT's.",
        ),
        (
            "evaluation",
            {"policies": {"policy": {"proxy": 1.69, "truth": None, "kl": 14.31}}},
            "Proxy +1.69 SD, at a KL of 14.3 nats.",
        ),
    ],
)
def test_other_stages(tmp_path: Path, name: str, summary: dict[str, Any], expected: str) -> None:
    assert stage(tmp_path, name, summary) == [expected]


def test_the_policy(tmp_path: Path) -> None:
    rows = [{"step": 20, "proxy": 1.0, "truth": 0.9, "kl": 5.0, "verdict": "learning"}]
    summary = {"steps": 20, "stopped": None, "best_step": 15}
    assert stage(tmp_path, "policy", summary, evaluations=rows) == [
        "20 steps.",
        "Proxy +1.00, truth +0.90 SD, at a KL of 5.0 nats after step 20; so far: learning.",
        "The best checkpoint by truth is that of step 15.",
    ]


@pytest.mark.parametrize(
    ("until", "arguments", "expected"),
    [
        (
            "sft",
            "sft --model m --out runs/r",
            "trueward reward-model --model runs/r/sft/model --dataset comparisons.jsonl",
        ),
        (
            "reward_model",
            "reward-model --model runs/s/sft/model --dataset c.jsonl",
            "trueward ppo --sft-model-path runs/s/sft/model --reward-model-path runs/r/reward_model/model --dataset",
        ),
        (
            "reward_model",
            "reward-model --model=m --dataset=c.jsonl",
            "trueward ppo --sft-model-path m --reward-model-path",
        ),
        ("sft", "run tiny --until sft --set seed=1", "trueward run tiny --set seed=1"),
        ("sft", "run tiny --until=sft", "trueward run tiny"),
        ("report", "run tiny", "trueward sample runs/r --prompt 'this is a film' --compare runs/r/sft"),
    ],
)
def test_the_next_command(until: str, arguments: str, expected: str) -> None:
    assert next_command(until, Path("runs/r"), arguments.split()).startswith(expected)
