"""Ablations are ordinary settings, under a name that says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trueward import config
from trueward.config import ablations


@pytest.mark.parametrize("fault", ablations.ABLATIONS)
def test_every_ablation_changes_something_and_says_so(fault: str) -> None:
    whole, found = config.read("tiny"), ablations.read("tiny", [], [fault])
    assert found.name == f"tiny,without={fault}"
    assert found.model_copy(update={"name": "tiny"}) != whole
    again = config.read("tiny", [s.format(base="trueward:tiny") for s in ablations.ABLATIONS[fault]])
    assert found.model_copy(update={"name": "tiny"}) == again


def test_several_at_once_and_other_settings() -> None:
    found = ablations.read("tiny", ["policy.steps=7"], ["anchor", "labels", "anchor"])
    assert found.name == "tiny,without=anchor,without=labels"
    assert found.comparisons.agreement == 0.51
    assert (found.policy.kl_coef, found.policy.steps) == (0.0, 7)


def test_no_ablation_is_the_recipe_itself() -> None:
    assert ablations.read("tiny", ["seed=4"], []) == config.read("tiny", ["seed=4"])


@pytest.mark.parametrize(
    ("recipe", "changes", "fault", "message"),
    [
        ("tiny", [], "kl", "there is no such ablation; there are sft, comparisons, labels"),
        ("nano", [], "sft", "changes nothing here, sft.model=trueward:nano already"),
        ("tiny", ["policy.kl_coef=0"], "anchor", "changes nothing here"),
        ("tiny", ["policy.kl_coef=0.2"], "anchor", "or --set undoes it"),
        ("tiny", ["policy.kind=rloo"], "value", "rloo has no value network"),
        ("tiny", ["reward.model=somewhere"], "labels", "this recipe has none"),
        ("tiny", ["policy.kind=dpo"], "anchor", "dpo needs an anchor"),
    ],
)
def test_what_can_not_be_ablated_is_refused(recipe: str, changes: list[str], fault: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ablations.read(recipe, changes, [fault])


def test_the_run_is_named_after_it_and_the_doctor_reads_it(command: Any, small: Any, tmp_path: Path) -> None:
    code, _, err = command(*small(), "--without", "sft", "--without", "labels")
    assert code == 0, err
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("tiny,without=sft,without=labels,")
    saved = config.read(str(run / "recipe.toml"))
    assert (saved.name, saved.sft.model) == ("tiny,without=sft,without=labels", "trueward:tiny")

    code, out, err = command("doctor", str(run))
    assert code == 0, err
    assert out.startswith("1. sft: ")
    code, out, err = command("doctor", str(run), "--json")
    found = json.loads(out)
    assert found["findings"][0]["fault"] == "sft"
    assert found["findings"][0]["advice"] == {"sft.model": ""}
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert report["doctor"] == found
    assert "The doctor, on sft: " in (run / "report.html").read_text(encoding="utf-8")

    code, out, err = command("report", str(run))
    assert "The doctor, on sft: " in " ".join(out.split())
    assert "`trueward doctor RUN` says more." in " ".join(out.split())

    assert command("doctor", "nowhere")[0] == 2
    code, _, err = command("run", "tiny", "--without", "nothing")
    assert (code, len(err.strip().splitlines())) == (2, 1)
