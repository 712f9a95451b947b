"""What answers became: a finished annotator's leaning, and the runs that read a project."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from trueward import config
from trueward.studio.runs import of_project
from trueward.studio.runs.library import Library

Client = Callable[..., TestClient]
PAIRS = 24


@pytest.fixture
def admin(client: Client) -> TestClient:
    boss = client("boss", "admin")
    boss.post("/api/projects", json={"name": "pairs", "overlap": 2})
    rows = [
        {"prompt": f"q{i}", "first": f"short {i}", "second": f"a much longer answer to it {i}"} for i in range(PAIRS)
    ]
    boss.post("/api/projects/pairs/import", json={"text": "\n".join(json.dumps(row) for row in rows)})
    return boss


def judge(person: TestClient, longer: bool, most: int = PAIRS) -> None:
    for _ in range(most):
        items = person.post("/api/projects/pairs/queue", json={"count": 1}).json()["items"]
        if not items:
            return
        left_is_longer = len(items[0]["left"]["text"]) > len(items[0]["right"]["text"])
        body = {"assignment": items[0]["assignment"], "key": secrets.token_hex(8), "kind": "win", "strength": 1}
        assert person.post(
            "/api/answers", json={**body, "side": "left" if left_is_longer == longer else "right"}
        ).is_success


def test_a_finished_annotator_is_told_and_nobody_before(admin: TestClient, client: Client) -> None:
    anna, ben = client("anna"), client("ben")
    judge(anna, longer=True, most=PAIRS - 1)
    assert anna.get("/api/projects/pairs/taught").json() == {"left": 1}
    judge(anna, longer=True)
    told = anna.get("/api/projects/pairs/taught").json()
    assert told["choices"] == PAIRS
    assert told["agreement"] is None  # nobody else has judged yet
    leaning = told["taste"]["leanings"][0]
    assert (leaning["words"], leaning["chosen"], leaning["of"]) == ("was longer", PAIRS, PAIRS)
    assert told["taste"]["accuracy"] == 1.0

    judge(ben, longer=False)
    theirs = ben.get("/api/projects/pairs/taught").json()
    assert [one["words"] for one in theirs["taste"]["leanings"]][:1] == ["was shorter"]
    assert (theirs["agreement"]["equal"], theirs["agreement"]["of"]) == (0, PAIRS)
    assert not {"boss", "anna"} & set(json.dumps(theirs).split('"'))  # nobody is named


def test_few_choices_and_other_projects(admin: TestClient, client: Client) -> None:
    anna = client("anna")
    assert anna.get("/api/projects/none/taught").status_code == 404
    admin.post("/api/projects", json={"name": "texts", "kind": "write"})
    assert anna.get("/api/projects/texts/taught").status_code == 404
    admin.post("/api/projects", json={"name": "few"})
    admin.post("/api/projects/few/import", json={"text": json.dumps({"prompt": "q", "first": "a", "second": "b"})})
    item = anna.post("/api/projects/few/queue", json={"count": 1}).json()["items"][0]
    body = {"assignment": item["assignment"], "key": secrets.token_hex(8), "kind": "win", "strength": 1, "side": "left"}
    anna.post("/api/answers", json=body)
    told = {"left": 0, "choices": 1, "needed": 20, "taste": None, "agreement": None}
    assert anna.get("/api/projects/few/taught").json() == told


RUNS: dict[str, dict[str, Any]] = {
    "old": {"comparisons.source": "studio:helpful"},
    "new": {"comparisons.source": "studio:helpful:honest@2", "evaluation.truths": ["b", "people:helpful"]},
    "other": {"comparisons.source": "studio:helpful too", "data.demonstrations": "helpful"},
    "texts": {"data.demonstrations": "studio:helpful"},
}


def test_runs_are_found_by_what_their_recipes_name() -> None:
    table = [{"name": name, "touched": float(i), "state": "live"} for i, name in enumerate(RUNS)]
    settings = {name: {key: json.dumps(value) for key, value in told.items()} for name, told in RUNS.items()}
    found = of_project.rows(table, settings, "helpful")
    assert [one["name"] for one in found] == ["texts", "new", "old"]
    assert found[1]["reads"] == ["trained on its comparisons", "measured by its people"]
    assert found[1]["source"] == "studio:helpful:honest@2"
    assert found[2]["truth"] is None


def test_a_run_of_the_library_is_found(tmp_path: Path) -> None:
    recipe = config.read("tiny", ["comparisons.source=studio:helpful"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/recipe.toml").write_text(recipe.toml(), encoding="utf-8")
    (tmp_path / "mine/pipeline.json").write_text('{"format": 2, "stages": []}', encoding="utf-8")
    (found,) = of_project.of_library(Library(tmp_path), "helpful")
    assert (found["name"], found["source"]) == ("mine", "studio:helpful")


def test_the_list_is_for_those_who_may_see_runs(admin: TestClient, client: Client) -> None:
    assert admin.get("/api/projects/pairs/runs").json() == {"runs": []}
    assert client("anna").get("/api/projects/pairs/runs").status_code == 403
    assert admin.get("/api/projects/none/runs").status_code == 404
