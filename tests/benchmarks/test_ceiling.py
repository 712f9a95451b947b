"""What a program's time is spent on, and how much of it nobody could save."""

import json
from pathlib import Path
from typing import Any

import ceiling
import pytest
import torch
from speed import results
from speed.watched import Watch, by_kind, kind


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("aten::mm", "products"),
        ("aten::addmm", "products"),
        ("mkldnn::_linear_pointwise", "products"),
        ("onednn::qlinear_pointwise", "products"),
        ("aten::bmm", "attention"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", "attention"),
        ("aten::_fused_adamw_", "optimiser"),
        ("aten::add_", "the rest"),
        ("aten::_softmax", "the rest"),
    ],
)
def test_operations_by_kind(operation: str, expected: str) -> None:
    assert kind(operation) == expected


def test_times_are_added_up() -> None:
    found = by_kind([("aten::mm", 1.0), ("aten::addmm", 0.5), ("aten::bmm", 0.25), ("aten::add", 2.0)])
    assert found == {"products": 1.5, "attention": 0.25, "optimiser": 0.0, "the rest": 2.0}


def test_the_profiler_sees_what_comes_after_the_warm_up(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    watch = Watch({"warm_up": 1, "out": str(out)})
    x, y = torch.randn(300, 300), torch.randn(4, 50, 50)
    watch.start()
    for turn in range(3):
        _ = x @ x if turn else torch.bmm(y, y)  # which does not count
        watch.tick()
    watch.finish([1.0, 10.0, 30.0])
    found = json.loads(out.read_text())
    assert found["units_each"] == 20.0
    assert found["kinds"]["products"] > 0
    assert found["kinds"]["attention"] == 0
    assert found["kinds"]["products"] < sum(found["seconds"])


def test_a_row_gets_its_ceiling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """64 rollouts in 2 + .5 + .5 s are 21.3 a second at most."""
    kinds = {"products": 2.0, "attention": 0.5, "optimiser": 0.5, "the rest": 3.0}
    asked: list[dict[str, Any]] = []

    def measure(module: str, job: dict[str, Any]) -> dict[str, Any]:
        asked.append({"module": module, **job})
        return {"kinds": kinds, "units_each": 64.0}

    monkeypatch.setattr(ceiling.processes, "measure", measure)
    monkeypatch.setattr(ceiling, "material", lambda size: tmp_path)
    fields = dict.fromkeys(results.FIELDS)
    rows = [
        {**fields, "name": "ppo", "size": "S", "ours": 9.0, "peer": 8.0, "ratio": 1.125},
        {**fields, "name": "grpo", "size": "S", "ours": 9.0, "peer": 8.0, "ratio": 1.125},
        {**fields, "name": "time-to-truth", "size": "S", "ours": 9.0, "peer": 8.0, "ratio": 1.1},
        {**fields, "name": "ppo", "size": "L"},  # the peer failed
    ]
    out = tmp_path / "results.json"
    results.write(out, rows)
    ceiling.main(["--out", str(out), "--rows", "ppo"])
    assert [(a["module"], a["program"], a["size"], a["minibatches"]) for a in asked] == [
        ("watched", "ours_ppo", "S", 4)
    ]
    found = results.read(out)
    assert found[0]["ceiling"] == pytest.approx(64 / 3 / 8)
    assert found[1:] == rows[1:], "the others are as they were"
    capsys.readouterr()
    ceiling.main(["--out", str(out), "--markdown"])
    assert capsys.readouterr().out.splitlines()[-1] == "| ppo | S | 1.12 | 2.67 | 33 % | 8 % | 8 % | 50 % |"
