"""The driver, on a loop that only counts: logs, checkpoints, the best, resuming, stopping."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from trueward.batches import Step
from trueward.progress import Progress
from trueward.records import Completion, Prompt
from trueward.training import driver
from trueward.training.driver import EvalSchedule, Evaluation, EvalVerdict
from trueward.training.state import State, adam

TOTAL = 6
TRUTHS = {0: 9.0, 1: 0.1, 2: 0.5, 3: 0.4, 4: 0.5, 5: 0.6, 6: 0.2}  # before the first step the policy is SFT's own


class PowerCutError(Exception):
    """What stops a loop in the middle."""


@dataclass
class Told(Progress):
    """A reporter that remembers."""

    said: list[Any] = field(default_factory=list)

    def start(self, what: str, total: int) -> None:
        self.said.append((what, total))

    def at(self, done: int, note: str = "") -> None:
        self.said.append((done, note))

    def end(self, note: str = "") -> None:
        self.said.append(note)


@dataclass
class Ride:
    """One process's attempt: a model of one number, moved by one a step."""

    directory: Path
    cut: int = 0  # the step after which the power goes
    checkpoint_seconds: float = 0.0
    metrics: Callable[[int], dict[str, float]] = lambda step: {"nll": 1.0 / step}
    every: int = 1
    looks: bool = True
    judges: bool = False
    stop_at: int = -1
    told: Told = field(default_factory=Told)

    def __post_init__(self) -> None:
        self.network = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.network.weight)
        self.state = State({"policy": self.network}, {"policy": adam(self.network, 0.1)}, numbers={"beta": 1.0})

    def loop(self) -> Iterator[Step]:
        while self.state.step < TOTAL:
            self.network.weight.grad = torch.ones_like(self.network.weight) * (self.state.step + 1)
            self.state.optimizers["policy"].step()
            self.state.numbers["beta"] *= 1.1
            self.state.step += 1
            n = self.state.step
            completion = Completion(prompt=Prompt(text="p"), response=f"r{n}")
            yield Step(n, self.metrics(n), [completion], [{"score": float(n)}])
            if n == self.cut:
                raise PowerCutError

    def look(self, step: int) -> Evaluation:
        return Evaluation({"truth": TRUTHS[step], "proxy": None}, [{"response": f"r{step}"}], TRUTHS[step])

    def judge(self, rows: list[dict[str, Any]]) -> EvalVerdict:
        """Says what it was given: how many rows, and what the best directory held at that moment."""
        step = rows[-1]["step"]
        best = self.directory / "best/weight"
        row = {"rows": [r["step"] for r in rows], "best": best.read_text() if best.exists() else None}
        return EvalVerdict(row, f"word {len(rows)}", "the truth fell" if step == self.stop_at else "")

    def keep(self, path: Path) -> None:
        path.mkdir()
        (path / "weight").write_text(repr(self.network.weight.item()))

    def go(self) -> driver.Outcome:
        self.directory.mkdir(exist_ok=True)
        return driver.drive(
            self.loop,
            state=self.state,
            directory=self.directory,
            total=TOTAL,
            what="toy",
            progress=self.told,
            checkpoint_seconds=self.checkpoint_seconds,
            schedule=EvalSchedule(self.every, self.look, self.keep, self.judge if self.judges else None)
            if self.looks
            else None,
        )


def logs(directory: Path) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for name in driver.LOGS:
        path = directory / name
        text = gzip.decompress(path.read_bytes()).decode() if name.endswith(".gz") else path.read_text()
        found[name] = [{k: v for k, v in json.loads(row).items() if k != "seconds"} for row in text.splitlines()]
    return found


def test_every_step_and_every_look_is_a_row(tmp_path: Path) -> None:
    ride = Ride(tmp_path / "run", every=4)
    ride.go()
    found = logs(ride.directory)
    assert found["metrics.jsonl"] == [{"step": n, "nll": 1.0 / n} for n in range(1, 7)]
    assert [row["step"] for row in found["evaluations.jsonl"]] == [0, 4, 6]  # before the first, now and then, the last
    assert found["samples.jsonl"] == [{"step": n, "response": f"r{n}"} for n in (0, 4, 6)]
    assert [(row["step"], row["response"], row["score"]) for row in found["rollouts.jsonl.gz"]] == [
        (n, f"r{n}", float(n)) for n in range(1, 7)
    ]
    assert driver.read_log(ride.directory / "evaluations.jsonl")[0]["truth"] == 9.0
    assert driver.read_log(ride.directory / "nothing.jsonl") == []


@pytest.mark.parametrize("cut", [1, 2, 4, 5])
@pytest.mark.parametrize("checkpoint_seconds", [0.0, 1e9])
def test_a_resumed_loop_ends_as_if_nothing_had_happened(tmp_path: Path, cut: int, checkpoint_seconds: float) -> None:
    whole = Ride(tmp_path / "whole")
    outcome = whole.go()
    with pytest.raises(PowerCutError):
        Ride(tmp_path / "cut", cut, checkpoint_seconds).go()
    for name in driver.LOGS:  # what was written after the last checkpoint, and half a row
        with (tmp_path / "cut" / name).open("ab") as log:
            log.write(b'{"step": 99, "nl')
    again = Ride(tmp_path / "cut")
    resumed = again.go()
    assert logs(again.directory) == logs(whole.directory)
    assert again.network.weight.item() == whole.network.weight.item()
    assert again.state.numbers == whole.state.numbers
    assert (resumed.best_step, resumed.best_truth) == (outcome.best_step, outcome.best_truth)
    assert (again.directory / "best/weight").read_text() == (whole.directory / "best/weight").read_text()
    if checkpoint_seconds == 0:
        assert again.told.said[:2] == [("toy", TOTAL), (cut, "resumed")]


def test_the_best_is_kept_when_the_truth_has_never_been_higher(tmp_path: Path) -> None:
    ride = Ride(tmp_path / "run")
    kept: list[int] = []
    keep = ride.keep
    ride.keep = lambda path: (kept.append(ride.state.step), keep(path))[1]  # type: ignore[method-assign]  # listens in
    outcome = ride.go()
    assert kept == [1, 2, 5]  # not 4, which is no higher than 2, and not 0
    assert (outcome.best_step, outcome.best_truth) == (5, 0.6)
    assert [p.name for p in (ride.directory / "best").iterdir()] == ["weight"]


def test_no_truth_no_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ride = Ride(tmp_path / "run")
    monkeypatch.setattr(ride, "look", lambda step: Evaluation({"truth": None}, [], None))
    assert ride.go().best_step is None
    assert not (ride.directory / "best").exists()
    assert (
        json.loads((ride.directory / "checkpoints/step-0000006/state.json").read_text())["more"]["best_truth"] is None
    )


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    ride = Ride(tmp_path / "run")
    ride.go()
    assert sorted(p.name for p in (ride.directory / "checkpoints").iterdir()) == ["step-0000005", "step-0000006"]
    assert driver.read_state(ride.directory / "checkpoints")["step"] == 6
    assert driver.read_state(tmp_path / "elsewhere") == {}
    rare = Ride(tmp_path / "rare", checkpoint_seconds=1e9)
    rare.go()
    assert [p.name for p in (rare.directory / "checkpoints").iterdir()] == ["step-0000006"]


def test_half_a_checkpoint_is_not_taken_for_one(tmp_path: Path) -> None:
    Ride(tmp_path / "run").go()
    (tmp_path / "run/checkpoints/step-0000006/state.json").unlink()
    last = driver.latest(tmp_path / "run/checkpoints")
    assert last is not None
    assert last.name == "step-0000005"


@pytest.mark.parametrize("name", driver.FATAL)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_stops_the_loop(tmp_path: Path, name: str, value: float) -> None:
    ride = Ride(tmp_path / "run", metrics=lambda step: {name: value if step == 3 else 1.0})
    with pytest.raises(
        ValueError, match=f"^toy, step 3: {name} is not a number any more; a lower learning rate may help$"
    ):
        ride.go()
    assert [row["step"] for row in logs(ride.directory)["metrics.jsonl"]] == [1, 2]
    assert driver.read_state(ride.directory / "checkpoints")["step"] == 2


def test_every_row_is_json_for_everybody(tmp_path: Path) -> None:
    """A figure that has no value in a step (the accuracy of a batch of ties) is null: NaN is no JSON."""
    ride = Ride(tmp_path / "run", metrics=lambda step: {"loss": 1.0, "accuracy": float("nan")})
    ride.go()
    assert "NaN" not in (ride.directory / "metrics.jsonl").read_text()


def test_it_says_what_and_how_far(tmp_path: Path) -> None:
    ride = Ride(tmp_path / "run", every=3)
    ride.go()
    assert ride.told.said[0] == ("toy", TOTAL)
    assert [said[0] for said in ride.told.said[1:-1]] == list(range(1, 7))
    assert ride.told.said[3] == (3, "truth 0.40")
    assert ride.told.said[-1] == "truth 0.20"
    plain = Ride(tmp_path / "plain", looks=False)
    plain.go()
    assert plain.told.said[-1] == "nll 0.167"


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("checkpoint_every", [1, 2, 3, 4])
def test_a_judge_sees_the_same_after_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int, checkpoint_every: int
) -> None:
    """All looks so far, and the best as it was: a later best that the resumed loop has yet to reach is taken back."""
    whole = Ride(tmp_path / "whole", judges=True)
    whole.go()
    rows = logs(whole.directory)["evaluations.jsonl"]
    assert [row["rows"] for row in rows] == [list(range(n + 1)) for n in range(7)]
    kept = {row["step"]: row["best"] for row in rows}
    assert kept[1] is None  # the present look is judged before it may become the best
    assert len({kept[2], kept[3], kept[6]}) == 3
    assert kept[3] == kept[4] == kept[5]
    ride = Ride(tmp_path / "cut", cut, checkpoint_every, judges=True)
    with monkeypatch.context() as patch:
        patch.setattr(driver.time, "monotonic", lambda: float(ride.state.step))  # a second a step
        patch.setattr(driver, "forget_best", lambda directory: None)  # as if the power went before it could
        with pytest.raises(PowerCutError):
            ride.go()
    again = Ride(tmp_path / "cut", judges=True)
    again.go()
    assert logs(again.directory) == logs(whole.directory)
    assert (again.directory / "best/weight").read_text() == (whole.directory / "best/weight").read_text()
    assert not list((again.directory / "checkpoints").glob("best-*"))


def test_a_loop_that_is_told_to_stop(tmp_path: Path) -> None:
    ride = Ride(tmp_path / "run", judges=True, stop_at=4, checkpoint_seconds=1e9)
    outcome = ride.go()
    assert (outcome.stopped, outcome.best_step, ride.state.step) == ("the truth fell", 2, 4)
    assert [row["step"] for row in logs(ride.directory)["metrics.jsonl"]] == [1, 2, 3, 4]
    assert ride.told.said[-1] == "stopped at step 4: the truth fell"
    assert ride.told.said[-2] == (4, "truth 0.50  word 5")
    before = logs(ride.directory)
    again = Ride(tmp_path / "run", judges=True, stop_at=4)
    assert again.go().stopped == "the truth fell"  # what was stopped stays so when the process is killed after it
    assert again.state.step == 4
    assert logs(again.directory) == before


def test_the_last_step_needs_no_stopping(tmp_path: Path) -> None:
    assert Ride(tmp_path / "run", judges=True, stop_at=TOTAL).go().stopped == ""
