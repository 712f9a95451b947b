"""Words on runs; sweeps as far as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from starlette.testclient import TestClient

from trueward.evaluation import sweep
from trueward.studio.api.place import Studio
from trueward.studio.runs import sweeps

Client = Callable[..., TestClient]


def make_run(home: Path, name: str) -> None:
    (home / name).mkdir(parents=True)
    (home / name / "recipe.toml").write_text('name = "r"\n')
    (home / name / "pipeline.json").write_text("[]")


def test_tags_are_added_taken_off_and_kept(client: Client, studio: Studio) -> None:
    make_run(studio.runs.home, "sweep/a")
    make_run(studio.runs.home, "b")
    admin, viewer = client("boss", "admin"), client("eve", "viewer")

    def change(**body: Any) -> Any:
        return admin.post("/api/runs/sweep/a/tags", json=body)

    assert change(add=["paper", " keep it ", "paper"]).json() == {"tags": ["keep it", "paper"]}
    assert change(add=["β:0 seed-1"]).json() == {"tags": ["keep it", "paper", "β:0 seed-1"]}
    change(remove=["β:0 seed-1"])
    assert change(add=["new"], remove=["keep it", "never there"]).json() == {"tags": ["new", "paper"]}
    assert {row["name"]: row["tags"] for row in viewer.get("/api/runs").json()} == {
        "sweep/a": ["new", "paper"],
        "b": [],
    }
    assert viewer.get("/api/runs/sweep/a").json()["tags"] == ["new", "paper"]
    assert viewer.post("/api/runs/b/tags", json={"add": ["x"]}).status_code == 403
    assert admin.post("/api/runs/nowhere/tags", json={"add": ["x"]}).status_code == 404
    for bad in ("", "  ", "a/b", "<b>", "x" * 41):
        assert change(add=[bad]).status_code == 422, bad
    assert change(add=[f"t{i}" for i in range(19)]).status_code == 422  # with those two more than a run can have
    assert viewer.get("/api/runs/sweep/a").json()["tags"] == ["new", "paper"]


def swept(values: dict[float, float], planned: int) -> dict[str, Any]:
    """What sweep.json holds when these values are done: value, and the truth that it came to."""
    rows = []
    for value, truth in values.items():
        end = {"proxy": truth + 0.5, "proxy_se": 0.1, "truth": truth, "truth_se": 0.1, "win_rate": 0.6, "kl": 4 - value}
        history = [{"step": s, "truth": truth * s / 4, "proxy": s / 4, "kl": (4 - value) * s / 4} for s in range(5)]
        report = {"policies": {"policy": end}, "history": history, "verdict": {"word": "learning"}}
        rows.append(sweep.row(value, 0, f"policy.kl_coef={value:g},seed=0", report))
    points = sweep.points(rows)
    advice = sweep.advise(points)
    found = {
        "format": 2, "recipe": "r", "over": "policy.kl_coef", "command": "trueward sweep r", "planned": planned,
        "advice": advice.table() if advice else None, "sentence": sweep.sentence("policy.kl_coef", advice),
        "points": [p.table() for p in points], "forms": {n: f.table() for n, f in sweep.forms(rows).items()}, "runs": rows,
    }  # fmt: skip
    return json.loads(json.dumps(found).replace("NaN", "null"))


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_sweep_is_shown_while_it_goes_on(client: Client, studio: Studio) -> None:
    home = studio.runs.home / "sweep-r"
    make_run(home, "policy.kl_coef=0.1,seed=0")
    file = home / "sweep.json"
    viewer = client("eve", "viewer")
    assert viewer.get("/api/sweeps").json() == []
    file.write_text(json.dumps(swept({}, 3)))
    (row,) = viewer.get("/api/sweeps").json()
    assert (row["name"], row["done"], row["planned"], row["best"]) == ("sweep-r", 0, 3, None)
    assert viewer.get("/api/sweeps/sweep-r").json()["points"] == []
    assert viewer.get("/api/sweeps/sweep-r/value.svg").status_code == 200
    file.write_text(json.dumps(swept({1.0: 0.2, 0.1: 1.5, 0.3: 1.0}, 3)))
    page = viewer.get("/api/sweeps/sweep-r").json()
    assert [p["text"] for p in page["points"]] == ["0.1", "0.3", "1"]  # in order, however they came
    assert page["points"][0]["standing"] == "best"
    assert page["runs"][1]["run"] == "sweep-r/policy.kl_coef=0.1,seed=0"
    assert viewer.get(f"/api/runs/{page['runs'][1]['run']}").status_code == 200
    assert page["short"] == "β"
    for kind in ("value", "distance"):
        for narrow in (False, True):
            reply = viewer.get(f"/api/sweeps/sweep-r/{kind}.svg", params={"narrow": narrow})
            assert reply.headers["content-type"].startswith("image/svg+xml")
            assert "script" not in reply.headers["content-security-policy"]
            root = ElementTree.fromstring(reply.text)  # noqa: S314 (our own)
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            width = float(root.attrib["viewBox"].split()[2])
            assert (width < 500) == narrow


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_what_is_no_sweep_is_not_shown(client: Client, studio: Studio) -> None:
    home = studio.runs.home
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"over": 3, "points": [], "runs": []}')):
        (home / name).mkdir()
        (home / name / "sweep.json").write_text(text)
    (home / "run").mkdir()
    (home / "run" / "pipeline.json").write_text("[]")
    viewer, anna = client("eve", "viewer"), client("anna")
    assert viewer.get("/api/sweeps").json() == []
    for name in ("a", "..", "../secrets", "nowhere"):
        assert viewer.get(f"/api/sweeps/{name}").status_code == 404, name
    assert viewer.get("/api/sweeps/a/other.svg").status_code in (404, 422)
    assert anna.get("/api/sweeps").status_code == 403
    assert sweeps.all_of(home / "not there") == []
