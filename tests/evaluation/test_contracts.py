"""The contracts of report.json, evaluations, metrics and sweeps, against what runs write and what the docs name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
from pydantic import TypeAdapter, ValidationError

from trueward.evaluation import sweep
from trueward.evaluation.contracts import (
    EvaluationRow,
    FailedSweepRow,
    MetricsRow,
    Report,
    RewardReport,
    SweepRow,
)
from trueward.evaluation.contracts.contract import Contract
from trueward.evaluation.contracts.people import PeopleRow
from trueward.evaluation.contracts.reward_model import FittedRewardModel, NoRewardModel, ReadyRewardModel

DOCS = Path(__file__).parents[2] / "docs"
KINDS = {
    "grpo": ("policy.kind=grpo",),
    "best_of_n": ("policy.kind=best_of_n",),
    "dpo": ("policy.kind=dpo",),
    "sft_on_best": ("policy.kind=sft_on_best", "policy.best_of_n.n=2"),
    "no truth, an ensemble": ("evaluation.truths=[]", "reward.members=2"),
    "a verifier": ("reward.kind=verifier", "reward.verifier=constraints", "reward.options.max_words=6"),
}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def check(run: Path) -> Report:
    """Validates every contract of a run and that nothing is lost or added on the way; its report."""
    table = json.loads((run / "report.json").read_text(encoding="utf-8"))
    report = Report.model_validate(table)
    assert report.model_dump(exclude_unset=True) == table
    assert json.loads(report.model_dump_json(exclude_unset=True)) == table
    rows = lines(run / "policy" / "evaluations.jsonl")
    assert [EvaluationRow.model_validate(row).model_dump(exclude_unset=True) for row in rows] == rows
    for path in run.glob("*/metrics.jsonl"):
        rows = lines(path)
        assert rows, path
        read = [MetricsRow.model_validate(row) for row in rows]
        assert [{"step": row.step, **row.figures} for row in read] == [row.model_dump() for row in read] == rows
    alone = run / "reward_model" / "report.json"
    if alone.is_file():
        RewardReport.model_validate_json(alone.read_text(encoding="utf-8"))
    return report


def test_the_files_of_a_run(baseline: Path) -> None:
    report = check(baseline)
    assert isinstance(report.reward_model, FittedRewardModel)
    assert report.policies.policy.base_nll is not None
    assert len(report.history) == 4
    assert report.people is None


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_run(climb: Callable[..., Any], baseline: Path, kind: str) -> None:
    name = f"contracts {kind}"
    climb(baseline.parent, name, *KINDS[kind])
    report = check(baseline.parent / name)
    assert isinstance(report.reward_model, NoRewardModel if kind == "a verifier" else FittedRewardModel)
    if kind == "no truth, an ensemble":
        assert report.policies.policy.truth is None
        assert report.policies.policy.member_sd is not None
    if kind == "best_of_n":
        assert report.history == []
        assert report.optimiser.n


def test_a_ready_reward_model(climb: Callable[..., Any], baseline: Path) -> None:
    climb(baseline.parent, "contracts ready", f"reward.model={baseline / 'reward_model' / 'model'}")
    report = check(baseline.parent / "contracts ready")
    assert type(report.reward_model) is ReadyRewardModel
    assert report.annotators is None


def test_rows_of_a_sweep(baseline: Path) -> None:
    report = json.loads((baseline / "report.json").read_text(encoding="utf-8"))
    rows = [sweep.row(value, 0, "a", report) for value in (0.1, "sigmoid", True)]
    rows.append({"value": 1, "seed": 0, "run": "b", "error": "the loss is not a number"})
    read = TypeAdapter(list[SweepRow | FailedSweepRow]).validate_python(rows)
    assert [row.model_dump() for row in read] == rows
    assert [type(row) for row in read] == [SweepRow] * 3 + [FailedSweepRow]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), 1),
        (("new",), 1),
        (("policies", "policy", "proxxy"), 0.0),
        (("policies", "policy", "kl"), "0.5"),
        (("policies", "policy", "kl"), float("nan")),
        (("policies", "third"), {}),
        (("verdict", "word"), "splendid"),
        (("verdict", "numbers", "z"), 1.0),
        (("doctor", "findings"), [{"fault": "sft"}]),
        (("reward_model", "accuracy_lo"), 0.5),
        (("people",), {"pairs": 1}),
        (("history", 0, "fall"), {"peak_step": 1}),
    ],
)
def test_what_is_not_in_the_contract_is_refused(baseline: Path, path: tuple[str | int, ...], value: Any) -> None:
    report = json.loads((baseline / "report.json").read_text(encoding="utf-8"))
    inner = report
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    with pytest.raises(ValidationError):
        Report.model_validate(report)


def test_a_field_that_is_always_there_may_not_be_missing(baseline: Path) -> None:
    row = lines(baseline / "policy" / "evaluations.jsonl")[-1]
    for key in row:
        with pytest.raises(ValidationError):
            EvaluationRow.model_validate({k: v for k, v in row.items() if k != key})
    with pytest.raises(ValidationError):
        MetricsRow.model_validate({"step": 1, "loss": "0.7"})


def contracts(annotation: Any) -> Iterator[type[Contract]]:
    """The contracts inside a field's type."""
    if isinstance(annotation, type) and issubclass(annotation, Contract):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, list, dict):
        for inner in get_args(annotation):
            yield from contracts(inner)


def fields(contract: type[Contract], seen: set[type[Contract]]) -> Iterator[tuple[str, str, str | None]]:
    """Contract, field and docstring of everything inside a contract."""
    if contract in seen:
        return
    seen.add(contract)
    for name, field in contract.model_fields.items():
        yield contract.__name__, name, field.description
        for inner in contracts(field.annotation):
            yield from fields(inner, seen)


def everything() -> list[tuple[str, str, str | None]]:
    seen: set[type[Contract]] = set()
    roots = (Report, RewardReport, EvaluationRow, MetricsRow, PeopleRow, SweepRow, FailedSweepRow)
    return [row for root in roots for row in fields(root, seen)]


def test_every_field_is_explained() -> None:
    assert [(contract, name) for contract, name, text in everything() if not text] == []


def test_the_docs_name_every_field() -> None:
    """docs/metrics.md, or for the doctor's and a sweep's fields the page that it links; `drop…` stands for `drop_low`, too."""
    pages = {"Finding": "doctor", "Doctor": "doctor", "Sweep": "sweep", "FailedSweep": "sweep"}
    named: dict[str, set[str]] = {}
    for page in ("metrics", "doctor", "sweep"):
        text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
        quoted = re.findall(r"`([^`\n]+)`", text) + re.findall(r'"(\w+)":', text)
        named[page] = {part for words in quoted for part in re.split(r"[^\w…]+", words)}
    missing = []
    for contract, name, _ in everything():
        page = next((to for start, to in pages.items() if contract.startswith(start)), "metrics")
        words = named["metrics"] | named[page]
        short = {name[:i] + "…" for i in range(1, len(name) + 1)}
        if name not in words and not short & words:
            missing.append(f"{page}.md: {contract}.{name}")
    assert missing == []
