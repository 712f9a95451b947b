"""`comparisons.unfinished`: which pairs are compared, what is counted, and the reward's unit over answers that end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from trueward import config, pipeline
from trueward.config import ComparisonsConfig
from trueward.config.unused import notes
from trueward.evaluation.contracts.reward_model import FittedRewardModel
from trueward.pipeline import sft
from trueward.pipeline.cache import MemoryCache
from trueward.pipeline.finished_pairs import REDRAWS, finished_pairs, finished_rows, unit_answers
from trueward.pipeline.records import read_comparisons
from trueward.pipeline.run import run_in_memory
from trueward.progress import Progress
from trueward.records import Comparison, Completion, Prompt, Response
from trueward.reporting import reward_page, stage_text

SMALL = ("runtime.threads=1", "sft.epochs=0.3", "comparisons.count=100", "reward.learning_curve=false", "reward.probe=0",
         "sampler.max_new_tokens=16", "policy.steps=1", "policy.batch_size=16", "evaluation.control=never",
         "evaluation.step_prompts=8", "evaluation.final_prompts=8")  # fmt: skip


def answer(prompt: int, text: str, finished: bool) -> Completion:
    return Completion(prompt=Prompt(text=f"prompt {prompt}"), response=text, finished=finished)


PAIRS = [
    (answer(0, "a", True), answer(0, "b", True)),
    (answer(1, "cut", False), answer(1, "c", True)),
    (answer(2, "cut", False), answer(2, "cut", False)),
]


def refuse(prompts: Sequence[Prompt], number: int) -> list[Completion]:
    raise AssertionError("nothing is sampled again")


def test_kept_and_dropped_pairs() -> None:
    assert finished_pairs(PAIRS, "keep", refuse) == (PAIRS, {})
    kept, row = finished_pairs(PAIRS, "drop", refuse)
    assert kept == PAIRS[:1]
    assert row == {"how": "drop", "answers": 3, "redrawn": 0, "dropped": 2}
    with pytest.raises(ValueError, match='"drop": in none of the 2 pairs both answers end'):
        finished_pairs(PAIRS[1:], "drop", refuse)


def redrawing(ends: Callable[[str, int], bool], asked: list[tuple[int, list[str]]]) -> Callable[..., list[Completion]]:
    """Answers that name their round; `ends`: of a prompt's text, in which round."""

    def again(prompts: list[Prompt], number: int) -> list[Completion]:
        asked.append((number, [p.text for p in prompts]))
        return [Completion(prompt=p, response=f"round {number}", finished=ends(p.text, number)) for p in prompts]

    return again


def test_cut_answers_are_drawn_again_and_a_bound_ends_that() -> None:
    asked: list[tuple[int, list[str]]] = []
    kept, row = finished_pairs(
        PAIRS, "redraw", redrawing(lambda text, number: text == "prompt 1" and number == 2, asked)
    )
    assert [(a.response, b.response) for a, b in kept] == [("a", "b"), ("round 2", "c")]
    assert row == {"how": "redraw", "answers": 3, "redrawn": 1, "dropped": 1}
    assert [number for number, _ in asked] == list(range(1, REDRAWS + 1))
    assert asked[1][1] == ["prompt 1", "prompt 2", "prompt 2"]
    assert asked[2][1] == ["prompt 2", "prompt 2"]

    asked.clear()
    kept, row = finished_pairs(PAIRS, "redraw", redrawing(lambda text, number: True, asked))
    assert len(kept) == 3
    assert all(side.finished for pair in kept for side in pair)
    assert [number for number, _ in asked] == [1]


def test_of_a_ranking_the_pairs_of_finished_answers_stay() -> None:
    sides = [Response(id=str(i), text=f"text {i}", finished=i != 1) for i in range(3)]
    rows = [
        Comparison(prompt=Prompt(text="p"), first=sides[i], second=sides[j], probability=1.0, source="file")
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    kept, row = finished_rows(rows, "redraw", "people.jsonl")
    assert kept == [rows[1]]
    assert row == {"how": "redraw", "answers": 2, "redrawn": 0, "dropped": 2}
    assert finished_rows(rows, "keep", "people.jsonl") == (rows, {})
    with pytest.raises(ValueError, match=r"people\.jsonl: in none of its 1 comparisons both answers end"):
        finished_rows(rows[:1], "drop", "people.jsonl")


def test_the_unit_is_of_pairs_that_end() -> None:
    answers = [side for pair in [*PAIRS[:1] * 9, *PAIRS] for side in pair]
    assert unit_answers(None, answers) is answers
    assert unit_answers(ComparisonsConfig(), answers) is answers
    dropped = unit_answers(ComparisonsConfig(unfinished="drop"), answers)
    assert len(dropped) == 20
    assert all(a.finished for a in dropped)
    with pytest.raises(
        ValueError, match="of the SFT policy's 3 pairs of answers 1 end both, too few for the reward's unit"
    ):
        unit_answers(ComparisonsConfig(unfinished="redraw"), [side for pair in PAIRS for side in pair])


@pytest.mark.parametrize("how", ["redraw", "drop"])
def test_a_run_compares_answers_that_end_and_scales_by_them(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(sft, "REFERENCE_PROMPTS", 60)
    cache = MemoryCache()
    settings = [*SMALL, f"comparisons.unfinished={how}", "reward.start=probe", "reward.layers=auto"]
    made = run_in_memory(config.read("tiny", settings), cache, until="reward_model")
    compared, row = made["comparisons"].value, made["comparisons"].summary["unfinished"]
    assert all(c.first.finished and c.second.finished for c in compared.rows)
    assert row["answers"] > 0
    assert (row["redrawn"] > 0) == (how == "redraw")
    assert len(compared.rows) + sum(r["rows"] for r in made["comparisons"].summary["left_out"]) == 100
    reward, answers = made["reward_model"], made["sft"].value.answers
    ended = [p for p in zip(answers[::2], answers[1::2], strict=True) if p[0].finished and p[1].finished]
    assert reward.summary["unit_answers"] == 2 * len(ended) < len(answers)
    table = {**reward.summary, "agreement": None}
    assert FittedRewardModel.model_validate(table).model_dump(exclude_unset=True) == table
    (start,) = table["starts"]
    assert start["comparisons"] + (start["kept"] == "fine-tuned") * start["validation"] == table["comparisons"]
    if start["kept"] == "probe":
        assert [start[key] for key in ("accuracy", "nll")] == [table[key] for key in ("accuracy", "nll")]
    (text,) = [
        text for text in reward_page.sentences(table) if text.startswith("It started from a head in closed form")
    ]
    assert ("Fine-tuning was kept" in text) == (start["kept"] == "fine-tuned")
    scores = np.array([s.score for s in reward.value.proxy([side for pair in ended for side in pair])]).reshape(-1, 2)
    assert scores.mean() == pytest.approx(0, abs=1e-4)
    assert np.sqrt(scores.var(axis=1, ddof=1).mean()) == pytest.approx(1, abs=1e-4)


def test_relabelling_and_demonstrations_compare_answers_that_end_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sft, "REFERENCE_PROMPTS", 60)
    settings = [
        *SMALL,
        "comparisons.unfinished=redraw",
        "policy.relabel.every=1",
        "policy.relabel.comparisons=30",
        "policy.steps=2",
    ]
    pipeline.run_pipeline(config.read("tiny", settings), tmp_path, "run", Progress(), until="policy")
    rows = [c for file in (tmp_path / "run/policy/relabel").rglob("*.jsonl") for c in read_comparisons(file)]
    assert rows
    assert all(c.first.finished and c.second.finished for c in rows)
    said = stage_text.sentences(tmp_path / "run" / "comparisons")
    assert any("answers were cut" in text and "sampled again until they ended" in text for text in said)

    shown = [*SMALL, "comparisons.unfinished=redraw", "comparisons.source=demonstrations"]
    made = run_in_memory(config.read("tiny", shown), MemoryCache(), until="comparisons")["comparisons"]
    assert all(c.first.finished and c.second.finished for c in made.value.rows)
    assert made.summary["unfinished"]["redrawn"] > 0


def test_a_policy_that_nothing_makes_end_is_told() -> None:
    bare = config.read("tiny", ["comparisons.unfinished=drop", "policy.missing_eos_penalty=0"])
    assert any("nothing sees to it that answers end" in note for note in notes(bare))
    assert not any("nothing sees to it" in note for note in notes(config.read("tiny", ["comparisons.unfinished=drop"])))
