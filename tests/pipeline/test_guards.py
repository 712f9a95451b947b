"""Guards in a run: due when they should be, paired with SFT, kept, never silent, and able to stop it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trueward import artifacts, config
from trueward.pipeline.guards import guards as module
from trueward.pipeline.guards.guard_job import GuardFailedError, GuardJob
from trueward.pipeline.guards.guard_spec import GuardSpec, read
from trueward.pipeline.guards.guards import guard_row
from trueward.pipeline.run import run_in_memory
from trueward.progress import Progress
from trueward.training.journal import read_log

sys.path.insert(0, str(Path(__file__).parent))
import standing_in

Climb = Callable[..., Any]
PROGRAM = """
import sys
sys.path[:] = {path!r}
from trueward.pipeline.guards.process import main
sys.exit(main(*{arguments!r}))
"""
SHORT = 'evaluation.guards=["verifier:constraints,max_words=5"]'
OFTEN = ("evaluation.every=1", "evaluation.guard_every=2", "policy.steps=3")


@pytest.fixture
def suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules in the place of lm-eval and Inspect, found by this process and those that it starts."""
    folder = tmp_path / "suites"
    folder.mkdir()
    standing_in.write(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", ":".join([str(folder), *(p for p in sys.path if p)]))
    return folder


class Forked:
    """The process that a guard asks for, from a parent that has imported torch: that takes a new one ten seconds."""

    def __init__(self, processes: Any, command: list[str], stdout: Any) -> None:
        self.processes = processes
        program = PROGRAM.format(path=sys.path, arguments=command[3:])
        request = {"arguments": [], "program": program, "largest_file": 0, "cwd": str(Path.cwd())}
        self.pid = processes.ask({**request, "stdout": "/dev/null", "stderr": stdout.name})

    def wait(self, timeout: float) -> int:
        return int(self.processes.finish())


@pytest.fixture
def forked(processes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards run in processes of their own that have their imports."""

    def start(command: list[str], *, stdout: Any, **more: Any) -> Forked:
        assert command[:3] == [sys.executable, "-m", "trueward.pipeline.guards.process"]
        return Forked(processes, command, stdout)

    monkeypatch.setattr("trueward.pipeline.guards.guard_job.subprocess.Popen", start)


def rows(run: Path) -> list[dict[str, Any]]:
    return read_log(run / "policy/evaluations.jsonl")


def asked(suites: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (suites / "lm_eval" / "asked.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("forked")
def test_a_verifier_guards_a_run(baseline: Path, climb: Climb) -> None:
    home, name = baseline.parent, "guarded"
    climb(home, name, SHORT, *OFTEN)
    run = home / name
    told = {row["step"]: row.get("guards") for row in rows(run)}
    assert [step for step, guards in told.items() if guards] == [2, 3], "every second evaluation and the last"
    folder = run / "policy/guards/0-verifier-constraints"
    sft, last = (
        {row["item"]: row["score"] for row in map(json.loads, (folder / f"{place}.jsonl").read_text().splitlines())}
        for place in ("sft", "step-0000003")
    )
    row = told[3]["verifier:constraints,max_words=5"]
    assert sft.keys() == last.keys()
    assert row["items"] == len(sft)
    assert row["sft"] == pytest.approx(sum(sft.values()) / len(sft), abs=1e-5)
    assert row["gain"] == pytest.approx(sum(last[item] - sft[item] for item in sft) / len(sft), abs=1e-4)
    assert (row["missing"], row["failure"]) == (0, None)
    assert not list((run / "policy").rglob(".*.tmp")), "no checkpoint is left"
    page = (run / "report.html").read_text()
    assert "Alignment tax" in page
    assert "verifier:constraints,max_words=5" in page


@pytest.mark.usefixtures("forked")
def test_a_run_that_was_killed_repeats_no_guard(baseline: Path, climb: Climb, monkeypatch: pytest.MonkeyPatch) -> None:
    home, made = baseline.parent, []
    run, measure = GuardJob.run, module.Guards.measure

    def counted(job: GuardJob, place: Path, *rest: Any) -> Any:
        made.append(place.name)
        return run(job, place, *rest)

    def cut(guards: module.Guards, policy: Any, step: int) -> Any:
        if step == 3:
            raise KeyboardInterrupt
        return measure(guards, policy, step)

    monkeypatch.setattr(GuardJob, "run", counted)
    monkeypatch.setattr(module.Guards, "measure", cut)
    with pytest.raises(KeyboardInterrupt):
        climb(home, "cut", SHORT, *OFTEN, "evaluation.guard_items=8")
    assert made == ["sft", "step-0000002"]
    monkeypatch.setattr(module.Guards, "measure", measure)
    climb(home, "cut", SHORT, *OFTEN, "evaluation.guard_items=8", until="policy")
    assert made == ["sft", "step-0000002", "step-0000003"]
    assert [row["step"] for row in rows(home / "cut") if "guards" in row] == [2, 3]


@pytest.mark.usefixtures("forked")
def test_in_memory_it_is_the_same_and_nothing_else_moves(baseline: Path, climb: Climb, tmp_path: Path) -> None:
    changes = (SHORT, "policy.steps=1", "evaluation.guard_items=7", "evaluation.final_prompts=4")
    climb(tmp_path, "disk", *changes, until="policy")
    recipe = config.read("tiny", [*map(str, settings(climb)), *changes])
    memory = run_in_memory(recipe, until="policy")["policy"].value.evaluations
    disk = rows(tmp_path / "disk")
    assert memory[-1]["guards"] == disk[-1]["guards"]
    assert next(iter(disk[-1]["guards"].values()))["items"] == 7
    climb(tmp_path, "bare", *changes[1:2], until="policy")
    bare = rows(tmp_path / "bare")
    assert [r["kl"] for r in bare] == [r["kl"] for r in disk]


def settings(climb: Climb) -> tuple[str, ...]:
    """The changes of the small recipe that the fixture makes."""
    return tuple(climb.__globals__["SMALL"])


@pytest.mark.usefixtures("forked")
def test_a_guard_that_fell_stops_the_run_and_is_named(baseline: Path, climb: Climb, suites: Path) -> None:
    guard = 'evaluation.guards=["lm-eval:sinks,limit=40"]'
    changes = (guard, *OFTEN, "policy.steps=6", "evaluation.guard_stops=true")
    climb(baseline.parent, "sinking", *changes)
    run = baseline.parent / "sinking"
    report = artifacts.read_json(run / "report.json")
    assert report["stopped"] == "a guard fell: lm-eval:sinks,limit=40, below SFT’s"
    assert rows(run)[-1]["step"] == 2
    assert "below SFT’s by the guard lm-eval:sinks,limit=40" in report["verdict"]["rule"]
    assert asked(suites)[0]["limit"] == 40
    page = (run / "report.html").read_text()
    assert "as evaluation.guard_stops asks" in page
    assert "The guard lm-eval:sinks,limit=40 fell: 0.000 at step 2, SFT’s 0.800." in page


@pytest.mark.usefixtures("forked")
def test_what_fails_while_training_is_said_and_the_run_goes_on(
    baseline: Path, climb: Climb, suites: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(Progress, "tell", lambda self, text: told.append(text))
    climb(baseline.parent, "broken guard", 'evaluation.guards=["lm-eval:breaks"]', *OFTEN)
    run = baseline.parent / "broken guard"
    failures = [row["guards"]["lm-eval:breaks"]["failure"] for row in rows(run) if "guards" in row]
    assert failures == ["ValueError: no task of this name: breaks"] * 2
    assert told[0] == "step 2: guard lm-eval:breaks: not measured: ValueError: no task of this name: breaks"
    assert "was not measured at 2 of its 2 looks" in (run / "report.html").read_text()
    assert rows(run)[-1]["guards"]["lm-eval:breaks"]["gain"] is None


def test_one_that_hangs_is_ended(baseline: Path, climb: Climb, suites: Path, tmp_path: Path) -> None:
    spec, place = read("lm-eval:hangs,limit=3"), tmp_path / "job" / "sft"
    job = GuardJob(spec.name, spec.kind, spec.task, spec.options, 3, 0, {}, "", "w")
    assert job.run(place, baseline / "sft/model", torch.device("cpu"), 5.0) == {
        "hangs/0": 0.0,
        "hangs/1": 1.0,
        "hangs/2": 1.0,
    }
    assert job.known(place) is not None
    with pytest.raises(GuardFailedError, match=r"it took more than 0\.1 minutes"):
        job.run(place, baseline / "sft/model", torch.device("cpu"), 0.1)
    assert job.known(place) is None


@pytest.mark.usefixtures("forked")
def test_one_that_cannot_run_on_sft_ends_before_training(baseline: Path, climb: Climb, suites: Path) -> None:
    with pytest.raises(
        ValueError, match=r"lm-eval:unknown can't be run on the SFT policy: ValueError: no task of this"
    ):
        climb(baseline.parent, "unknown", 'evaluation.guards=["lm-eval:unknown"]')
    assert not (baseline.parent / "unknown/policy/metrics.jsonl").exists()


BAD = {
    "mmlu": "expected verifier:NAME, lm-eval:TASK or inspect:TASK, got 'mmlu'",
    "lm-eval:": "expected verifier:NAME",
    "lm-eval:ifeval": r"needs lm-eval: .*pip install .*\[lm-eval\]",
    "inspect:x.py@t": r"needs inspect-ai: .*pip install .*\[inspect\]",
    "lm-eval:ifeval,shots=5": "lm-eval has no option shots; it has metric, filter",
    "lm-eval:ifeval,num_fewshot=few": "num_fewshot: expected a whole number, got 'few'",
    "verifier:none": "there is no verifier 'none'",
    "verifier:constraints,most=3": "most",
    "verifier:exact": "answer",
    "verifier:exact,prompts=nowhere.jsonl": "nowhere.jsonl",
}


@pytest.mark.parametrize("name", BAD)
def test_what_can_be_known_is_known_before_anything_is_trained(
    name: str, climb: Climb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trueward.pipeline.guards.guard_spec.is_installed", lambda module: False)
    with pytest.raises(ValueError, match=f"guards.*{BAD[name]}") as error:
        climb(tmp_path, "bad", f"evaluation.guards={json.dumps([name])}")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("manifest.json"))


def test_a_table_has_no_suites(climb: Climb, tmp_path: Path, suites: Path) -> None:
    with pytest.raises(ValueError, match="trueward:nano is a table, which no suite can load"):
        climb(
            tmp_path,
            "nano",
            "model.base=trueward:nano",
            "data.prompts=trueward:nano",
            'evaluation.guards=["lm-eval:x"]',
        )


def test_a_verifier_may_have_prompts_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"{i}+1=", "answer": str(i + 1)}) + "\n" for i in range(3)))
    spec = read(f"verifier:exact,prompts={file}")
    assert [prompt.answer for prompt in spec.own_prompts()] == ["1", "2", "3"]
    assert spec.files == [file]
    assert spec == GuardSpec(f"verifier:exact,prompts={file}", "verifier", "exact", {}, str(file))


def test_settings_of_guards_without_guards_are_said() -> None:
    notes = config.notes(config.read("tiny", ["evaluation.guard_every=2"]))
    assert "evaluation.guard_every does nothing here: there are no evaluation.guards" in notes
    notes = config.notes(config.read("tiny", [SHORT, "policy.kind=best_of_n"]))
    assert any("evaluation.guards does nothing here" in note for note in notes)


def test_pairs_are_items_that_both_have() -> None:
    row = guard_row({"a": 1.0, "b": 0.0, "c": 1.0}, {"a": 0.0, "b": 0.0, "d": 1.0})
    assert (row["policy"], row["sft"], row["gain"], row["items"], row["missing"]) == (0.0, 0.5, -0.5, 2, 2)
    assert guard_row({}, {}, "down")["failure"] == "down"
    assert module.sentence(3, "g", guard_row({"a": 1.0}, {"b": 1.0})).endswith("no item has a score of both policies")
