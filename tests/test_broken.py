"""Rungs broken on purpose are ordinary settings, under a name that says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trueward import broken, config


@pytest.mark.parametrize("rung", broken.BROKEN)
def test_every_rung_breaks_something_and_says_so(rung: str) -> None:
    whole, found = config.read("tiny"), broken.read("tiny", [], [rung])
    assert found.name == f"tiny,without={rung}"
    assert found.model_copy(update={"name": "tiny"}) != whole
    again = config.read("tiny", [s.format(base="trueward:tiny") for s in broken.BROKEN[rung]])
    assert found.model_copy(update={"name": "tiny"}) == again


def test_several_at_once_and_other_settings() -> None:
    found = broken.read("tiny", ["policy.steps=7"], ["anchor", "labels", "anchor"])
    assert found.name == "tiny,without=anchor,without=labels"
    assert found.comparisons.agreement == 0.51
    assert (found.policy.kl_coef, found.policy.steps) == (0.0, 7)


def test_nothing_broken_is_the_recipe_itself() -> None:
    assert broken.read("tiny", ["seed=4"], []) == config.read("tiny", ["seed=4"])


@pytest.mark.parametrize(
    ("recipe", "changes", "rung", "said"),
    [
        ("tiny", [], "kl", "those that can be broken are sft, comparisons, labels"),
        ("nano", [], "sft", "changes nothing here, sft.model=trueward:nano already"),
        ("tiny", ["policy.kl_coef=0"], "anchor", "changes nothing here"),
        ("tiny", ["policy.kl_coef=0.2"], "anchor", "or --set undoes it"),
        ("tiny", ["policy.kind=rloo"], "value", "rloo has no value network"),
        ("tiny", ["reward.model=somewhere"], "labels", "this recipe asks none"),
        ("tiny", ["policy.kind=dpo"], "anchor", "dpo needs an anchor"),
    ],
)
def test_what_can_not_be_broken_is_refused(recipe: str, changes: list[str], rung: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        broken.read(recipe, changes, [rung])


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
    assert found["findings"][0]["rung"] == "sft"
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
